#include "control/pcp_watchdog.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace pgb::control {
namespace {

using nlohmann::json;

struct State {
  int number;
  const char* name;
};
constexpr State kLeader{4, "LEADER"}, kStandby{7, "STANDBY"}, kLost{8, "LOST"};
constexpr int kQuorum = 1, kNoLeader = -2;

// Whose agent has never said anything in the store, or nothing for a while, is lost.
State state_of(const GroupRoles::Now& now, const std::string& node) {
  if (node == now.leader) return kLeader;
  const bool there = std::any_of(now.members.begin(), now.members.end(), [&](const GroupRoles::Member& member) {
    return member.name == node && !member.silent();
  });
  return there ? kStandby : kLost;
}

json node_json(const State& state, const proxy::NodeView& node, size_t id) {
  return {{"ID", id},
          {"NodeName", node.name},
          {"HostName", node.host},
          {"DelegateIP", ""},
          {"WdPort", 0},
          {"PgpoolPort", node.port},
          {"State", state.number},
          {"StateName", state.name},
          {"Priority", 1},
          {"Membership", 0},
          {"MembershipString", "MEMBER"},
          {"LifecheckStarted", state.number != kLost.number}};
}

}  // namespace

std::string pcp_watchdog_json(const GroupRoles::Now& now, const proxy::TopologySnapshot& topology, long only) {
  json nodes = json::array();
  size_t alive = 0, id = 0;
  for (const proxy::NodeView& node : topology.nodes) {
    const State state = state_of(now, node.name);
    if (state.number != kLost.number) ++alive;
    if (only < 0 || id == static_cast<size_t>(only)) nodes.push_back(node_json(state, node, id));
    ++id;
  }
  const proxy::NodeView* leader = topology.find(now.leader);
  const size_t remote = id == 0 ? 0 : id - 1;  // clients count one more, which is their own in pgpool-II
  const json document = {{"NodeCount", nodes.size()},
                         {"RemoteNodeCount", remote},
                         {"MemberRemoteNodeCount", remote},
                         {"AliveNodeCount", alive == 0 ? 0 : alive - 1},
                         {"NodesRequireForQuorum", 1},
                         {"QuorumStatus", now.leader.empty() ? kNoLeader : kQuorum},
                         {"Escalated", 0},
                         {"LeaderNodeName", now.leader},
                         {"LeaderHostName", leader == nullptr ? "" : leader->host},
                         {"WatchdogNodes", nodes}};
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace pgb::control
