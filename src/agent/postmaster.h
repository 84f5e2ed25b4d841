// Starts and stops one postgres server, our child.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <mutex>
#include <string>

#include "agent/agent_config.h"
#include "base/deadline.h"
#include "base/result.h"

namespace pgb::agent {

class Postmaster {
 public:
  Postmaster(const AgentConfig& config, std::string bin_dir) : config_(config), bin_dir_(std::move(bin_dir)) {}

  // Forks postgres; it dies with us (parent-death signal SIGQUIT, an immediate shutdown).
  Status start();

  // Waits until it answers a query as `user`. kNotReady if it died meanwhile, kTimeout.
  Status wait_ready(const std::string& user, const Secret& password, const std::string& database, Deadline deadline);

  // Ends it and all its processes without waiting for anything of theirs: an immediate shutdown (SIGQUIT), after
  // `patience` SIGKILL. True if it is gone, false if some of it is still there at the deadline (a disk that hangs).
  bool end_now(std::chrono::milliseconds patience, Deadline deadline);

  // SIGHUP: it reads its configuration again. SIGUSR1: it looks for the file "promote".
  void signal(int number) const;

  // It was stopped by a signal (or a debugger) and does nothing.
  bool frozen() const;

  // Fast shutdown (SIGINT); immediate (SIGQUIT) at the deadline. Returns when it is gone.
  void stop(Deadline deadline);

  // Collects dead children, orphans included (we may be PID 1). True if our server is among them;
  // `how` then says how it ended. Any thread may call.
  bool reap(std::string* how);

  pid_t pid() const { return pid_.load(); }  // 0: not running; any thread

 private:
  bool end_orphans(Deadline deadline);

  const AgentConfig& config_;
  std::string bin_dir_;
  std::atomic<pid_t> pid_{0};
  std::mutex mutex_;  // of reap() and start()
};

}  // namespace pgb::agent
