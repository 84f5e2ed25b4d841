// Throws a replica's data away and copies them anew from its primary.
#pragma once

#include <string>

#include "cluster/group_store.h"

namespace pgb::cluster {

struct ReinitPlan {
  std::string group, node, primary;
};
// What it would do. kNoNode; kIsPrimary; kNotReady: nobody leads, or no failover there.
Result<ReinitPlan> plan_reinit(Session& session, const std::string& balancer, const std::string& node);

struct Reinit {
  ReinitPlan what;
  double seconds = 0;  // until it streamed again
};
// Carried out by the node's own agent, which goes on with it whatever becomes of this program or of itself. As
// plan_reinit(); kNotReady with the reason of who refused it; kTimeout, kInterrupted: with what goes on.
Result<Reinit> reinit(Session& session, const std::string& balancer, const std::string& node);

}  // namespace pgb::cluster
