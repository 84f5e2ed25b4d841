#include "agent/bootstrap.h"
#include "agent/tool.h"
#include "os/file.h"
#include "pgclient/connection.h"

namespace pgb::agent {

using std::chrono::milliseconds;

// A physical slot that keeps WAL from now on: nothing the copy needs can be recycled meanwhile. A slot
// of that name is ours from an earlier try.
Status make_slot(const AgentConfig& config, const ServerRole& role, Deadline deadline) {
  pgclient::ConnInfo info;
  info.host = role.host;
  info.port = role.port;
  info.user = config.replication_user;
  info.password = config.replication_password;
  info.application_name = config.name;
  info.replication = true;
  auto connection = pgclient::Connection::open(info, deadline);
  if (!connection.ok()) {
    return Error(Code::kNotReady, "the primary does not take us yet: " + connection.error().message);
  }
  const auto made =
      (*connection)
          ->query("CREATE_REPLICATION_SLOT " + pgclient::quote_identifier(role.slot) + " PHYSICAL RESERVE_WAL",
                  deadline);
  if (made.ok()) return {};
  for (const auto& [label, text] : made.error().details) {
    if (label == "sqlstate" && text == "42710") return {};  // duplicate_object
  }
  return Error(Code::kNotReady, "slot " + role.slot + " cannot be made on the primary: " + made.error().message);
}

// Names are resolved at every try: the primary's container may not be there yet.
static Status copy_from_primary(const AgentConfig& config, const std::string& bin_dir, const DataDir& dir,
                                const ServerRole& role) {
  PGB_TRY(dir.set_stage(DataStage::kMaking));
  if (dir.look() == DataStage::kMaking) PGB_TRY(dir.wipe_unfinished());
  PGB_TRY(os::write_file_atomic(dir.passfile(), render_passfile(config), 0600));
  PGB_TRY(run_tool({bin_dir + "/pg_basebackup", "-D", dir.path(), "-h", role.host, "-p", std::to_string(role.port),
                    "-U", config.replication_user, "--no-password", "-X", "stream", "-S", role.slot, "-c", "fast"},
                   {"PGPASSFILE=" + dir.passfile()}, Deadline::never()));
  PGB_TRY(write_server_files(config, dir, role));
  return dir.set_stage(DataStage::kReady);
}

Status make_replica_dir(const AgentConfig& config, const std::string& bin_dir, const DataDir& dir,
                        const ServerRole& role, Progress& progress) {
  PGB_TRY(make_slot(config, role, Deadline::after(milliseconds(30000))));
  progress.set("copying", "base backup from " + role.host + ":" + std::to_string(role.port));
  return copy_from_primary(config, bin_dir, dir, role);
}

}  // namespace pgb::agent
