// The group in the words of Patroni's REST interface, for what reads that: dashboards, scripts, load balancers. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/group_roles.h"
#include "proxy/topology_snapshot.h"

namespace pgb::control {

// What the agents' record says of a replica that streams.
enum class SyncState : uint8_t {
  kUnknown,  // it does not stream, or nobody says so
  kAsync,    // it may lack acknowledged commits
  kQuorum,   // it is one of those of whom enough have each acknowledged commit
  kSync,     // it has each of them itself: all of those must
};
SyncState sync_state_of(const GroupRoles::Now& roles, const std::string& node);

// As GET /cluster. Without `roles` (nothing is known of them) as the servers say themselves.
nlohmann::json patroni_cluster(const proxy::TopologySnapshot& topology, const std::optional<GroupRoles::Now>& roles,
                               const std::string& group);

// As GET /history: [timeline, position at which it ended, why, when, who took over] for each that has ended, as its
// newest server knows it; empty if nobody tells. The last two stand in the history (see LiveState::promotions()); what
// that does not know is left out, as Patroni does, too.
nlohmann::json patroni_history(const std::optional<GroupRoles::Now>& roles,
                               const std::vector<dcs::HistoryLine>& promotions);

}  // namespace pgb::control
