// A group without a leader gets one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cluster/roles.h"

namespace pgb::cluster {

// What a failover by force would do, by what the agents know now.
struct ForcePlan {
  std::string group;
  std::string to;                  // who would lead
  bool safe = false;               // it may lead, forced or not: nothing acknowledged is lost
  std::string reason;              // why it may, or what holds it back
  std::string cost;                // what would be lost; empty if it is safe
  std::optional<uint64_t> behind;  // bytes of WAL that another was known to have, and it has not
};
// kNoNode; kNotReady: the group has a leader or is paused, or nobody (or not `to`) could be forced, and why.
Result<ForcePlan> plan_force(Session& session, const std::string& balancer, const std::string& to);

// Gives a group without a leader one; `force`: also one that may lack acknowledged commits. kNotReady: it has one, or
// is paused. kNoSafeCandidate: who could lead would lose commits; nothing has changed.
Result<RoleChange> failover(Session& session, const std::string& balancer, const std::string& to, bool force);

}  // namespace pgb::cluster
