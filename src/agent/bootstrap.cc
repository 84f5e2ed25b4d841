#include "agent/bootstrap.h"

#include "agent/pg_conf.h"
#include "agent/tool.h"
#include "os/file.h"

namespace pgb::agent {

using std::chrono::minutes;

Status make_primary_dir(const AgentConfig& config, const std::string& bin_dir, const DataDir& dir) {
  PGB_TRY(dir.set_stage(DataStage::kMaking));
  PGB_TRY(os::make_dirs(dir.path(), 0700));
  const std::string pwfile = dir.parent() + "/initdb.password";
  PGB_TRY(os::write_file_atomic(pwfile, config.superuser_password.reveal() + "\n", 0600));
  const Status made = run_tool({bin_dir + "/initdb", "-D", dir.path(), "-U", config.superuser, "--pwfile=" + pwfile,
                                "--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"},
                               {}, Deadline::after(minutes(5)));
  PGB_TRY(os::remove_tree(pwfile));
  PGB_TRY(made);
  return dir.set_stage(DataStage::kInitialised);
}

// A change of roles waits for each write to reach the disk: what stands there already is not written again.
static bool stands(const std::string& path, const std::string& content) {
  const auto before = os::read_file(path);
  return before.ok() && *before == content;
}

static Status keep_file(const std::string& path, const std::string& content) {
  return stands(path, content) ? Status() : os::write_file_atomic(path, content, 0600);
}

Status write_server_files(const AgentConfig& config, const DataDir& dir, const ServerRole& role) {
  const std::string auto_conf = dir.path() + "/postgresql.auto.conf";
  const std::string conf = render_conf(config, dir.passfile(), role), conf_file = dir.path() + "/postgresql.conf";
  // It changes with the role, and each start of the server writes it first: nobody needs what a power cut leaves of it.
  if (!stands(conf_file, conf)) PGB_TRY(os::replace_file(conf_file, conf, 0600));
  PGB_TRY(keep_file(dir.path() + "/pg_hba.conf", render_hba(config)));
  if (const auto text = os::read_file(auto_conf); text.ok() && without_ours(*text).size() < text->size()) {
    PGB_TRY(os::write_file_atomic(auto_conf, without_ours(*text), 0600));
  }
  if (!role.standby) return os::remove_tree(dir.path() + "/standby.signal");
  PGB_TRY(keep_file(dir.passfile(), render_passfile(config)));
  return keep_file(dir.path() + "/standby.signal", "");
}

}  // namespace pgb::agent
