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

Status write_server_files(const AgentConfig& config, const DataDir& dir, const ServerRole& role) {
  const std::string auto_conf = dir.path() + "/postgresql.auto.conf";
  PGB_TRY(os::write_file_atomic(dir.path() + "/postgresql.conf", render_conf(config, dir.passfile(), role), 0600));
  PGB_TRY(os::write_file_atomic(dir.path() + "/pg_hba.conf", render_hba(config), 0600));
  if (const auto text = os::read_file(auto_conf); text.ok() && without_ours(*text).size() < text->size()) {
    PGB_TRY(os::write_file_atomic(auto_conf, without_ours(*text), 0600));
  }
  if (!role.standby) return os::remove_tree(dir.path() + "/standby.signal");
  PGB_TRY(os::write_file_atomic(dir.passfile(), render_passfile(config), 0600));
  return os::write_file_atomic(dir.path() + "/standby.signal", "", 0600);
}

}  // namespace pgb::agent
