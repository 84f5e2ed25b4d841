#include "control/patroni_view.h"

#include <algorithm>

namespace pgb::control {
namespace {

using Json = nlohmann::json;
using proxy::NodeRole;
using proxy::NodeView;

const GroupRoles::Member* member_of(const std::optional<GroupRoles::Now>& roles, const std::string& node) {
  if (!roles) return nullptr;
  const auto found = std::find_if(roles->members.begin(), roles->members.end(),
                                  [&](const GroupRoles::Member& member) { return member.name == node; });
  return found == roles->members.end() ? nullptr : &*found;
}

bool leads(const NodeView& node, const std::optional<GroupRoles::Now>& roles) {
  return node.healthy && node.role == NodeRole::kPrimary && (!roles || roles->leader == node.name);
}

const char* role_word(const NodeView& node, const std::optional<GroupRoles::Now>& roles) {
  if (leads(node, roles)) return "leader";
  switch (roles ? sync_state_of(*roles, node.name) : SyncState::kUnknown) {
    case SyncState::kSync: return "sync_standby";
    case SyncState::kQuorum: return "quorum_standby";
    default: return "replica";
  }
}

Json member_json(const NodeView& node, const std::optional<GroupRoles::Now>& roles) {
  const GroupRoles::Member* agent = member_of(roles, node.name);
  const bool streams = node.healthy && agent != nullptr && agent->streaming;
  Json out = {{"name", node.name},
              {"role", role_word(node, roles)},
              {"state", !node.healthy ? "unknown"
                        : streams     ? "streaming"
                                      : "running"},
              {"host", node.host},
              {"port", node.port}};
  const uint64_t timeline = agent != nullptr ? agent->timeline : node.timeline;
  if (timeline > 0) out["timeline"] = timeline;
  if (leads(node, roles)) return out;
  out["lag"] = node.healthy ? Json(node.gauge->behind_bytes.load()) : Json("unknown");
  return out;
}

}  // namespace

SyncState sync_state_of(const GroupRoles::Now& roles, const std::string& node) {
  const bool streams = std::any_of(roles.members.begin(), roles.members.end(), [&](const GroupRoles::Member& member) {
    return member.name == node && member.streaming;
  });
  if (!streams || node == roles.leader) return SyncState::kUnknown;
  const auto& members = roles.sync_members;
  const bool counts = std::find(members.begin(), members.end(), node) != members.end() && roles.sync_required > 0;
  if (!counts) return SyncState::kAsync;
  return roles.sync_required >= members.size() ? SyncState::kSync : SyncState::kQuorum;
}

Json patroni_cluster(const proxy::TopologySnapshot& topology, const std::optional<GroupRoles::Now>& roles,
                     const std::string& group) {
  Json members = Json::array();
  for (const NodeView& node : topology.nodes) members.push_back(member_json(node, roles));
  Json out = {{"members", std::move(members)}, {"scope", roles && !roles->cluster.empty() ? roles->cluster : group}};
  if (roles && roles->paused) out["pause"] = true;
  return out;
}

Json patroni_history(const std::optional<GroupRoles::Now>& roles, const std::vector<dcs::HistoryLine>& promotions) {
  Json lines = Json::array();
  if (!roles) return lines;
  const std::vector<GroupRoles::Fork>* newest = nullptr;
  for (const GroupRoles::Member& member : roles->members) {
    const bool newer =
        newest == nullptr || (!member.history.empty() && member.history.back().timeline > newest->back().timeline);
    if (!member.history.empty() && newer) newest = &member.history;
  }
  for (size_t i = 1; newest != nullptr && i < newest->size(); ++i) {
    const GroupRoles::Fork &ended = (*newest)[i - 1], &next = (*newest)[i];
    Json line = {ended.timeline, next.begin, "a replica was promoted to timeline " + std::to_string(next.timeline)};
    const auto begun = std::find_if(promotions.begin(), promotions.end(),
                                    [&next](const dcs::HistoryLine& one) { return one.timeline == next.timeline; });
    if (begun != promotions.end()) line.insert(line.end(), {begun->time, begun->node});
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace pgb::control
