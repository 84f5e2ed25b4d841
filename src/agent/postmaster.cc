#include "agent/postmaster.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/pg_conf.h"
#include "agent/stale_pid.h"
#include "agent/tool.h"
#include "os/process.h"
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
  // What is left of one that was killed has the data directory still open.
  if (!end_orphans(Deadline::after(milliseconds(5000)))) {
    return Error(Code::kTimeout, "processes of the server before survive SIGKILL");
  }
  PGB_TRY(disown_stale_pid(config_.data_dir));
  const std::lock_guard lock(mutex_);
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
  const std::lock_guard lock(mutex_);
  int status = 0;
  const pid_t mine = pid();
  const bool ours = mine != 0 && waitpid(mine, &status, WNOHANG) == mine;
  if (ours) {
    pid_ = 0;
    *how = WIFSIGNALED(status) ? "signal " + os::signal_name(WTERMSIG(status))
                               : "exit code " + std::to_string(WEXITSTATUS(status));
  }
  const std::unique_lock no_tool(tools(), std::try_to_lock);
  if (!no_tool) return ours;
  for (siginfo_t info{}; waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0; info = {}) {
    if (info.si_pid == pid()) break;  // it ended just now: the next call's
    waitpid(info.si_pid, &status, WNOHANG);
  }
  return ours;
}

void Postmaster::signal(int number) const {
  if (pid() != 0) kill(pid(), number);
}

bool Postmaster::frozen() const { return pid() != 0 && os::process_state(pid()) == 'T'; }

bool Postmaster::end_now(milliseconds patience, Deadline deadline) {
  std::string how;
  const pid_t postmaster = pid();
  if (postmaster == 0) return true;
  const bool stopped = frozen();
  if (!stopped) kill(postmaster, SIGQUIT);
  for (const Deadline soft = Deadline::after(patience); !stopped && !soft.expired() && !reap(&how);)
    poll(nullptr, 0, 5);
  if (pid() == postmaster) {
    kill(postmaster, SIGSTOP);  // it must not start anybody while we end the rest
    for (pid_t child : os::children_of(postmaster)) kill(child, SIGKILL);
    kill(postmaster, SIGKILL);
  }
  return end_orphans(deadline);
}

// Those whose postmaster is gone are our children now.
bool Postmaster::end_orphans(Deadline deadline) {
  for (std::string how;; poll(nullptr, 0, 5)) {
    reap(&how);
    bool left = pid() != 0;
    for (pid_t child : os::children_of(getpid())) {
      if (os::process_name(child) != "postgres") continue;
      kill(child, SIGKILL);
      left = true;
    }
    if (!left) return true;
    if (deadline.expired()) return false;
  }
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
    poll(nullptr, 0, 3);  // clients may wait for it
  }
}

}  // namespace pgb::agent
