#include "agent/agent.h"

#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "agent/agent_server.h"
#include "agent/bootstrap.h"
#include "agent/config_files.h"
#include "agent/data_dir.h"
#include "agent/member_agent.h"
#include "agent/postmaster.h"
#include "agent/progress.h"
#include "agent/quit_watch.h"
#include "agent/start_over.h"
#include "api/agent_api.h"
#include "base/strings.h"
#include "os/bin_dir.h"
#include "os/file.h"
#include "os/signals.h"
#include "os/users.h"

namespace pgb::agent {
namespace {

using std::chrono::milliseconds;

// Gives the data to the user that will run postgres, then becomes that user for good. Our own program and files stay
// root's: whoever can make the server run a program must not be able to change what runs as root.
Status become_user(const AgentConfig& config, const DataDir& dir) {
  PGB_TRY(os::make_dirs(dir.parent(), 0700));
  if (geteuid() != 0 || config.run_as_user.empty()) return {};
  auto user = os::find_user(config.run_as_user);
  if (!user.ok()) return std::move(user).error();
  if (chown(dir.parent().c_str(), user->uid, user->gid) != 0) return os::errno_error("chown", dir.parent(), errno);
  if (setgroups(0, nullptr) != 0 || setgid(user->gid) != 0 || setuid(user->uid) != 0) {
    return os::errno_error("become user", user->name, errno);
  }
  prctl(PR_SET_DUMPABLE, 1);  // /proc/self belongs to the new user again
  return {};
}

class Agent {
 public:
  Agent(const AgentConfig& config, std::string bin_dir, os::SignalFd signals)
      : config_(config),
        bin_dir_(bin_dir),
        dir_(config.data_dir),
        postmaster_(config, bin_dir),
        signals_(std::move(signals)) {}

  int run() {
    auto server = serve(config_, progress_, postmaster_);
    if (!server.ok()) return fail(server.error());
    while (!stopping_) {
      if (const Status up = bring_up(); !up.ok()) {
        progress_.set(up.error().code == Code::kNotReady ? "waiting" : "failed", up.error().message);
        back_off();
        if (!stopping_ && files_.changed()) {  // what stopped us was mended there
          postmaster_.stop(Deadline::after(milliseconds(20000)));
          return start_over(config_);
        }
        continue;
      }
      progress_.set("running", "");
      failures_ = 0;
      supervise();
    }
    progress_.set("stopping", "fast shutdown");
    postmaster_.stop(Deadline::after(milliseconds(20000)));
    return 0;
  }

 private:
  int fail(const Error& error) {
    log::error(error.message);
    return error_info(error.code).exit_code;
  }

  // Whatever stands in the data directory, afterwards a server of ours runs on it.
  Status bring_up() {
    switch (dir_.look()) {
      case DataStage::kForeign:
        return Error(Code::kForeign, dir_.path() + " holds files that we did not make; nothing was touched");
      case DataStage::kMaking:
        progress_.set("starting", "removing an unfinished copy");
        PGB_TRY(dir_.wipe_unfinished());
        [[fallthrough]];
      case DataStage::kEmpty: PGB_TRY(fill()); break;
      case DataStage::kInitialised:
      case DataStage::kReady: break;
    }
    // Beyond this point the directory is whole; only roles and init SQL may be missing.
    PGB_TRY(write_server_files(config_, dir_, role_of(config_)));
    return start_server();
  }

  Status fill() {
    const QuitWatch watch(signals_);
    if (!config_.primary) return make_replica_dir(config_, bin_dir_, dir_, role_of(config_), progress_);
    progress_.set("initdb", "making " + dir_.path());
    return make_primary_dir(config_, bin_dir_, dir_);
  }

  Status start_server() {
    progress_.set("starting", "postgres on port " + std::to_string(config_.port));
    if (postmaster_.pid() == 0) PGB_TRY(postmaster_.start());
    const bool furnished = dir_.look() == DataStage::kReady;
    const std::string user = furnished ? "pgbalancer_agent" : config_.superuser;
    const Secret& password = furnished ? config_.agent_password : config_.superuser_password;
    for (;;) {  // crash recovery may take long; a signal ends the wait
      const Status up = postmaster_.wait_ready(user, password, "postgres", Deadline::after(milliseconds(200)));
      if (up.ok()) break;
      if (up.error().code != Code::kTimeout) return up;
      progress_.set("starting", up.error().message);
      if (take_signals(0)) return Error(Code::kTerminated, "told to stop");
    }
    if (furnished) return {};
    progress_.set("starting", "roles, database and init SQL");
    return furnish_primary(config_, dir_);
  }

  // Until the server ends or we are told to stop.
  void supervise() {
    while (!take_signals(1000)) {
      std::string how;
      if (!postmaster_.reap(&how)) continue;
      progress_.set("starting", "postgres ended unexpectedly (" + how + "), starting it again");
      return;
    }
  }

  // True once we are to stop. SIGCHLD only wakes us.
  bool take_signals(int wait_ms) {
    pollfd ready{signals_.fd(), POLLIN, 0};
    poll(&ready, 1, wait_ms);
    while (auto signal = signals_.read()) stopping_ = stopping_ || *signal != SIGCHLD;
    return stopping_;
  }

  // 100 ms at first (a replica waits for its primary), then longer, at most 5 s.
  void back_off() {
    const int wait = dir_.look() == DataStage::kEmpty && !config_.primary ? 100 : std::min(100 << failures_, 5000);
    failures_ = std::min(failures_ + 1, 6);
    const Deadline until = Deadline::after(milliseconds(wait));
    while (!until.expired() && !files_.changed() && !take_signals(std::min(until.poll_ms(), kLook))) {
      std::string how;
      postmaster_.reap(&how);
    }
  }

  static constexpr int kLook = 200;  // milliseconds

  const AgentConfig& config_;
  ConfigFiles files_{config_};
  std::string bin_dir_;
  DataDir dir_;
  Progress progress_;
  Postmaster postmaster_;
  os::SignalFd signals_;
  bool stopping_ = false;
  int failures_ = 0;
};

int report(const Error& error) {
  std::fprintf(stderr, "pgbalancer_agent: %s\n", error.message.c_str());
  return error_info(error.code).exit_code;
}

}  // namespace

namespace {

// Data of one major version is of no use to another: what made it goes before what is newest.
std::string bin_dir_for(const AgentConfig& config) {
  if (!config.bin_dir.empty()) return config.bin_dir;
  auto version = os::read_file(config.data_dir + "/PG_VERSION", 64);
  if (!version.ok()) return "";
  const std::string same = "/usr/lib/postgresql/" + std::string(trim(*version)) + "/bin";
  return os::exists(same + "/postgres") ? same : "";
}

}  // namespace

int run(const AgentConfig& config) {
  log::setup("pgbalancer_agent", log::Level::kInfo);
  umask(077);
  if (const Status done = become_user(config, DataDir(config.data_dir)); !done.ok()) return report(done.error());
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  auto signals = os::SignalFd::open({SIGTERM, SIGINT, SIGCHLD});
  if (!signals.ok()) return report(signals.error());
  auto bin_dir = os::find_bin_dir(bin_dir_for(config));
  if (!bin_dir.ok()) return report(bin_dir.error());
  if (config.has_store()) return MemberAgent(config, *bin_dir, std::move(*signals)).run();
  return Agent(config, *bin_dir, std::move(*signals)).run();
}

int health(const AgentConfig& config) {
  api::AgentAddress address;
  address.host = config.agent_address == "0.0.0.0" ? "127.0.0.1" : config.agent_address;
  address.port = config.agent_port;
  address.token = config.token;
  auto state = api::agent_state(address, Deadline::after(milliseconds(1500)));
  if (!state.ok()) return report(state.error());
  std::printf("%s %s %s\n", state->role.c_str(), state->phase.c_str(), state->detail.c_str());
  return state->healthy() ? 0 : 1;
}

}  // namespace pgb::agent
