// Does a failure to a cluster on purpose, while clients write through the balancer, and tells what it did to them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cluster/session.h"
#include "cluster/writers.h"

namespace pgb::cluster {

enum class Drill { kKill, kStop, kPartition, kDiskFull, kStoreLoss };
std::optional<Drill> drill_of(const std::string& word);
const std::vector<std::string>& drill_words();

struct DrillPlan {
  Drill kind = Drill::kKill;
  std::string group, node;         // kStoreLoss: the balancer with its store
  bool leads = false;              // the node is the primary
  std::vector<std::string> steps;  // in words
};
// `node` empty: the primary. kNoNode; kNotReady: nobody leads, no failover there; what cannot be done in this
// runtime, and why. Touches nothing.
Result<DrillPlan> plan_drill(Session& session, const std::string& balancer, Drill kind, const std::string& node);

struct DrillResult {
  DrillPlan plan;
  std::string primary;               // afterwards
  Outage outage;                     // from the moment of the failure until all was whole again
  double recovery = 0;               // seconds until every server streamed again
  uint64_t acknowledged = 0;         // commits in the ledger
  uint64_t lost = 0;                 // of these, not on the primary afterwards
  std::vector<std::string> lacking;  // replicas that lack acknowledged commits, and how many
  std::string left;                  // what could not be taken away again; empty: nothing
};
// Brings the cluster back and takes the ledger away also when it is interrupted; then kInterrupted says what stands.
Result<DrillResult> drill(Session& session, const DrillPlan& plan);

}  // namespace pgb::cluster
