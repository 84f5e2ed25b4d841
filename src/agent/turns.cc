#include "agent/turns.h"

#include <signal.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "os/file.h"
#include "os/process.h"

namespace pgb::agent {

using pgclient::Connection;

namespace {

constexpr std::chrono::milliseconds kQuery{2000};

std::string status_of(pid_t pid) {
  auto status = os::read_file("/proc/" + std::to_string(pid) + "/status", 1 << 16);
  return status.ok() ? std::move(*status) : std::string();
}

bool has_sighup_pending(const std::string& status) {
  for (const char* set : {"\nSigPnd:\t", "\nShdPnd:\t"}) {
    const size_t at = status.find(set);
    if (at == std::string::npos) continue;
    const uint64_t pending = std::strtoull(status.c_str() + at + 9, nullptr, 16);
    if ((pending & (uint64_t{1} << (SIGHUP - 1))) != 0) return true;
  }
  return false;
}

// The same text twice: it slept all the time between. Empty: it does not sleep, or a SIGHUP waits for it.
std::string sleep_of(pid_t pid) {
  const std::string status = status_of(pid);
  const size_t switches = status.find("\nvoluntary_ctxt_switches:");
  const bool asleep = status.find("\nState:\tS") != std::string::npos && !has_sighup_pending(status);
  return asleep && switches != std::string::npos ? status.substr(switches) : "";
}

}  // namespace

bool all_have_reloaded(pid_t postmaster, const ServerFacts& facts) {
  std::vector<pid_t> pids = os::children_of(postmaster);
  for (const auto& [name, sender] : facts.senders) pids.push_back(sender.pid);
  for (pid_t pid : pids) {
    const std::string status = status_of(pid);
    const char state = os::process_state(pid);
    if (state == 'T' || state == 't' || has_sighup_pending(status)) return false;
  }
  return true;
}

bool had_its_turn(Connection& connection, pid_t postmaster, const char* backend_type, const char* waits) {
  const std::string sql = std::string("SELECT pid, COALESCE(wait_event IN (") + waits +
                          "), false) AS idle FROM pg_stat_activity WHERE backend_type = '" + backend_type + "'";
  const auto ask = [&]() -> std::pair<pid_t, bool> {
    auto answer = connection.query(sql, Deadline::after(kQuery));
    if (!answer.ok() || answer->at(0).rows.empty()) return {0, false};
    return {static_cast<pid_t>(std::strtol(answer->at(0).get(0, "pid").c_str(), nullptr, 10)),
            answer->at(0).get(0, "idle") == "t"};
  };
  const pid_t pid = ask().first;
  if (pid == 0) return false;
  // Awake, the postmaster may not yet have passed the signal on to everybody.
  if (sleep_of(postmaster).empty()) return false;
  const std::string before = sleep_of(pid);
  const bool idle = ask() == std::pair(pid, true);
  return !before.empty() && idle && sleep_of(pid) == before;
}

bool LettingGo::is_in_effect(Connection& connection, pid_t postmaster, const ServerFacts& facts) {
  constexpr char kWaits[] = "'RecoveryWalStream', 'RecoveryRetrieveRetryInterval', 'RecoveryApplyDelay'";
  if (had_its_turn(connection, postmaster, "startup", kWaits)) return true;
  if (sleep_of(postmaster).empty() || !all_have_reloaded(postmaster, facts)) return false;
  // The first one may have been begun before the signal came.
  if (replayed_ != 0 && facts.replayed > replayed_) ++records_;
  replayed_ = facts.replayed;
  return records_ > 1;
}

}  // namespace pgb::agent
