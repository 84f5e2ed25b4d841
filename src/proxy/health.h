// Asks every node several times a second, and when the bell rings, whether it answers, whether it is the primary and
// how far its log has got, each on a thread of its own so that a silent one delays none of the others. Of nodes that
// call themselves the primary only the one with the highest timeline ever seen is healthy.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/secret.h"
#include "pgclient/connection.h"
#include "proxy/probe_bell.h"
#include "proxy/tls_setup.h"
#include "proxy/topology_snapshot.h"

namespace pgb::proxy {

struct HealthSettings {
  std::string user;
  Secret password;
  std::string database = "postgres";
  std::shared_ptr<const TlsKeeper> tls = std::make_shared<TlsKeeper>();
  ProbeBellPtr bell = std::make_shared<ProbeBell>();
  std::chrono::milliseconds interval{100};
  std::chrono::milliseconds without_primary{20};   // the interval while there is none
  std::chrono::milliseconds shortest_interval{5};  // however often the bell rings
  std::chrono::milliseconds deadline{1000};
  std::chrono::milliseconds basics_interval{5000};  // see server_basics.h
};

struct Leader {
  std::string node;   // empty: nobody any more, that epoch is over
  int64_t epoch = 0;  // of the last one that was seen
  bool operator==(const Leader&) const = default;
};

class HealthMonitor {
 public:
  // Called with a new snapshot when a role, a health or a reason has changed; from the monitor's
  // threads, one call at a time, versions growing.
  using OnChange = std::function<void(TopologyPtr)>;

  // Starts to ask the nodes of `first`.
  HealthMonitor(HealthSettings settings, TopologyPtr first, OnChange on_change);
  ~HealthMonitor();  // waits for the threads, at most about the deadline
  HealthMonitor(const HealthMonitor&) = delete;
  HealthMonitor& operator=(const HealthMonitor&) = delete;

  TopologyPtr topology() const;

  // Who the lease store says is the leader, and under which epoch. While it is one of the nodes no other one is the
  // primary, whatever it calls itself; once an epoch is over none is, until there is a leader again. Nothing: the store
  // has named nobody yet, or nobody has asked it; then servers are believed. Any thread.
  void set_leader(std::optional<Leader> leader);

 private:
  void watch(size_t index);
  struct Answer;
  void note_log(size_t index, int64_t asked_ns, const Answer& answer);
  void look_for_astray(int64_t asked_ns, uint64_t written);
  void note_primary(size_t index, int64_t asked_ns, uint64_t lsn);
  void note_flushed(int64_t by_ns, uint64_t flushed);
  void note_catch_up(size_t index);
  void forget_log(size_t index);
  static Result<Answer> ask(std::unique_ptr<pgclient::Connection>& connection, const pgclient::ConnInfo& info,
                            Deadline deadline);
  bool ask_more(const NodeView& node, pgclient::Connection& connection, int64_t took_ns) const;
  std::string judge(size_t index, const Answer& answer);
  void report(size_t index, const Answer& answer, bool healthy, const std::string& error);
  std::string not_the_leader(const std::string& node) const;
  void refuse(NodeView& node, std::string why) const;
  void refuse_others(TopologySnapshot& topology) const;
  bool pause(size_t index, int64_t asked_ns);  // false: stop

  const HealthSettings settings_;
  const OnChange on_change_;
  mutable std::mutex mutex_;
  std::mutex order_;  // held while a change is told, so that snapshots arrive in order
  std::atomic<bool> stopped_{false};
  TopologyPtr topology_;
  // Who was the primary of the highest timeline, and first if there were two: nobody else is. Guarded by mutex_.
  std::optional<size_t> primary_;
  std::optional<Leader> leader_;  // guarded by mutex_
  std::atomic<bool> has_primary_{false};
  std::mutex log_mutex_;
  // What the primary said, oldest first: at the time (ns) it was asked, its log reached to no less than everything
  // that was committed before; guarded by log_mutex_.
  std::deque<std::pair<int64_t, uint64_t>> primary_log_;
  size_t log_of_ = SIZE_MAX;        // which node's; likewise guarded, as the next four
  uint32_t log_timeline_ = 0;       // the highest one that a primary was on
  std::vector<uint64_t> replayed_;  // what each replica said last; 0: nothing that still holds
  std::vector<int64_t> noted_ns_;   // when that came
  std::vector<bool> astray_;        // it had replayed more than the primary had written
  std::vector<std::shared_ptr<NodeGauge>> gauges_;
  std::vector<std::thread> threads_;
};

}  // namespace pgb::proxy
