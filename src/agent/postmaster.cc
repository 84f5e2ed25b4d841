#include "agent/postmaster.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "agent/pg_conf.h"
#include "os/signals.h"
#include "os/subprocess.h"
#include "pgclient/connection.h"

namespace pgb::agent {

using std::chrono::milliseconds;

Status Postmaster::start() {
  os::SpawnOptions options;
  options.argv = {bin_dir_ + "/postgres"};
  for (std::string& argument : server_arguments(config_)) options.argv.push_back(std::move(argument));
  options.inherit_output = true;  // its log is ours
  options.pdeathsig = SIGQUIT;
  auto pid = os::spawn(options);
  if (!pid.ok()) return std::move(pid).error().in("starting postgres");
  pid_ = *pid;
  return {};
}

Status Postmaster::wait_ready(const std::string& user, const Secret& password, const std::string& database,
                              Deadline deadline) {
  pgclient::ConnInfo info;
  info.host = config_.local_host();
  info.port = config_.port;
  info.user = user;
  info.password = password;
  info.database = database;
  for (;;) {
    auto connection = pgclient::Connection::open(info, deadline.sooner(milliseconds(2000)));
    if (connection.ok() && (*connection)->query("SELECT 1", deadline.sooner(milliseconds(2000))).ok()) return {};
    if (std::string how; reap(&how)) return Error(Code::kTool, "postgres ended while starting: " + how);
    if (deadline.expired()) {
      return Error(Code::kTimeout,
                   "postgres does not answer" + (connection.ok() ? std::string() : ": " + connection.error().message));
    }
    poll(nullptr, 0, 20);
  }
}

bool Postmaster::reap(std::string* how) {
  bool ours = false;
  int status = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != pid_.load()) continue;
    ours = true;
    pid_ = 0;
    *how = WIFSIGNALED(status) ? "signal " + os::signal_name(WTERMSIG(status))
                               : "exit code " + std::to_string(WEXITSTATUS(status));
  }
  return ours;
}

void Postmaster::stop(Deadline deadline) {
  if (pid() == 0) return;
  kill(pid(), SIGCONT);
  kill(pid(), SIGINT);
  bool urged = false;
  for (std::string how; !reap(&how) && pid() != 0;) {
    if (deadline.expired()) {
      kill(pid(), urged ? SIGKILL : SIGQUIT);
      urged = true;
      deadline = Deadline::after(milliseconds(3000));
    }
    poll(nullptr, 0, 10);
  }
}

}  // namespace pgb::agent
