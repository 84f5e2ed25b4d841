#include "agent/bootstrap.h"
#include "agent/tool.h"
#include "base/log.h"
#include "model/key_table.h"
#include "os/file.h"
#include "pgclient/connection.h"

namespace pgb::agent {

using std::chrono::milliseconds;

std::string slot_sql(const std::string& slot) {
  const std::string name = pgclient::quote_literal(slot);
  return "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = " + name +
         " AND wal_status = 'lost' AND NOT active; SELECT pg_create_physical_replication_slot(" + name +
         ", true) WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = " + name + ")";
}

static pgclient::ConnInfo as_replica(const AgentConfig& config, const ServerRole& role) {
  pgclient::ConnInfo info;
  info.host = role.host;
  info.port = role.port;
  info.user = config.replication_user;
  info.password = config.replication_password;
  info.application_name = config.name;
  info.replication = true;
  return info;
}

// Who may not ask for it, or finds it just taken, keeps what is there.
static void renew_lost_slot(pgclient::ConnInfo info, const std::string& slot, Deadline deadline) {
  info.database = "postgres";
  auto connection = pgclient::Connection::open(info, deadline);
  const auto done = connection.ok() ? (*connection)->query(slot_sql(slot), deadline)
                                    : Result<std::vector<pgclient::ResultSet>>(connection.error());
  if (!done.ok()) log::warn("whether slot " + slot + " still keeps WAL is not known: " + done.error().message);
}

// Nothing the copy needs can be recycled meanwhile. A slot of that name is ours from an earlier try, or keeps WAL that
// we have missed.
Status make_slot(const AgentConfig& config, const ServerRole& role, Deadline deadline) {
  const pgclient::ConnInfo info = as_replica(config, role);
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
    if (label != "sqlstate" || text != "42710") continue;  // duplicate_object
    renew_lost_slot(info, role.slot, deadline);
    return {};
  }
  return Error(Code::kNotReady, "slot " + role.slot + " cannot be made on the primary: " + made.error().message);
}

// While it copies, the disk may keep it from answering for longer than one that streams; a time of the user's own
// holds, unless it is the same as ours.
static std::string copy_options(const AgentConfig& config) {
  const std::string name = "wal_sender_timeout";
  std::string out(kNoticesSilence);
  const auto set = config.parameters.find(name);
  for (const auto& [key, value] : model::default_parameters()) {
    if (key == name && set != config.parameters.end() && set->second == value) out += " options='-c " + name + "=60s'";
  }
  return out;
}

// Names are resolved at every try: the primary's container may not be there yet.
static Status copy_from_primary(const AgentConfig& config, const std::string& bin_dir, const DataDir& dir,
                                const ServerRole& role) {
  PGB_TRY(dir.set_stage(DataStage::kMaking));
  if (dir.look() == DataStage::kMaking) PGB_TRY(dir.wipe_unfinished());
  PGB_TRY(os::write_file_atomic(dir.passfile(), render_passfile(config), 0600));
  PGB_TRY(run_tool({bin_dir + "/pg_basebackup", "-D", dir.path(), "-h", role.host, "-p", std::to_string(role.port),
                    "-U", config.replication_user, "-d", copy_options(config), "--no-password", "-X", "stream", "-S",
                    role.slot, "-c", "fast"},
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
