// What each balancer sees of its group just now: traffic, nodes, pools, what happened. Asked over its REST interface
// (GET /api/v1/snapshot, see docs/web.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/session.h"

namespace pgb::cluster {

struct LiveNode {
  std::string name, role, state, reason;
  std::optional<double> lag_s, p99_ms;
  double requests_per_s = 0, reads_per_s = 0, read_share = 0;
  uint64_t busy = 0, servers = 0;
};

struct LivePool {
  std::string database, user;
  double requests_per_s = 0, longest_wait_s = 0;
  uint64_t clients = 0, waiting = 0, active = 0, bound = 0, idle = 0;
};

struct LiveEvent {
  std::string time, text;
};

struct LiveGroup {
  std::string balancer;
  std::string error;     // why it did not answer; then nothing else is known
  std::string document;  // its answer, as it came
  std::string time, state, sentence, durability;
  double age_s = 0;  // of all this, when the balancer answered, by its own clock
  std::optional<uint64_t> epoch;
  double transactions_per_s = 0, requests_per_s = 0, reads_per_s = 0;
  std::optional<double> p50_ms, p95_ms, p99_ms;
  uint64_t clients = 0, max_clients = 0, waiting = 0, in_use = 0, open = 0;
  double longest_wait_s = 0;
  std::vector<LiveNode> nodes;
  std::vector<LivePool> pools;    // busiest first
  std::vector<LiveEvent> events;  // newest last
};

// Asks all balancers at once, or the one that is named. kNoCluster, kNoBalancer.
Result<std::vector<LiveGroup>> live(const Session& session, const std::string& balancer);

// One balancer's answer; kProtocol if it is none.
Result<LiveGroup> parse_live(const std::string& document);

}  // namespace pgb::cluster
