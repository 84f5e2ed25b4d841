#include "control/group_metrics.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace pgb::control {
namespace {

using Type = MetricText::Type;

constexpr std::chrono::seconds kFresh{15};  // servers are asked every five

double number(uint64_t value) { return static_cast<double>(value); }

void write_counts(MetricText& out, const RoleCounts& counts) {
  out.one(Type::kCounter, "pgbalancer_primary_changes", "Times that another node was found to be the primary.",
          number(counts.primary_changes));
  out.one(Type::kCounter, "pgbalancer_primary_losses", "Times that there was no primary any more.",
          number(counts.primary_losses));
  out.one(Type::kCounter, "pgbalancer_without_primary_seconds", "Time without a primary.", counts.without_primary_s);
}

// What a node's agent said last; null: nothing yet.
const GroupRoles::Member* member(const GroupRoles::Now& roles, const std::string& node) {
  const auto found = std::find_if(roles.members.begin(), roles.members.end(),
                                  [&](const GroupRoles::Member& one) { return one.name == node; });
  return found == roles.members.end() ? nullptr : &*found;
}

void write_elections(MetricText& out, const RoleCounts& counts) {
  out.begin(Type::kCounter, "pgbalancer_group_elections",
            "Epochs that began, by why: the first of the group, a switchover that was asked for, or a failover.");
  const std::pair<const char*, uint64_t> kinds[] = {
      {"first", counts.firsts}, {"switchover", counts.switchovers}, {"failover", counts.failovers}};
  for (const auto& [kind, count] : kinds) out.add(number(count), {{"kind", kind}});
  out.one(Type::kCounter, "pgbalancer_group_forced_failovers", "Failovers past the record of who has each commit.",
          number(counts.forced));
}

void write_roles(MetricText& out, const std::vector<NodeNumbers>& nodes, const GroupRoles::Now& roles) {
  out.one(Type::kGauge, "pgbalancer_group_epoch", "The number of the last election.", number(roles.epoch));
  out.one(Type::kGauge, "pgbalancer_group_has_leader", "1 if a node leads the group, as the lease store has it.",
          roles.leader.empty() ? 0 : 1);
  out.one(Type::kGauge, "pgbalancer_group_failover_paused", "1 if no node takes over by itself.", roles.paused ? 1 : 0);
  out.begin(Type::kGauge, "pgbalancer_group_durability_info", "Always 1; what a commit waits for is a label.");
  if (!roles.durability.empty()) out.add(1, {{"mode", roles.durability}});
  out.one(Type::kGauge, "pgbalancer_group_sync_required",
          "On how many of the members of the record each acknowledged commit is, beside the leader.",
          number(roles.sync_required));
  out.one(Type::kGauge, "pgbalancer_group_commits_wait",
          "1 if no commit is acknowledged, for too few replicas stream, as the leader's agent says.",
          roles.commits_wait().empty() ? 0 : 1);
  const auto each = [&](const char* name, const char* help, auto value) {
    out.begin(Type::kGauge, name, help);
    for (const NodeNumbers& node : nodes) out.add(value(node) ? 1 : 0, {{"node", node.view.name}});
  };
  each("pgbalancer_node_leader", "1 if the node leads the group, as the lease store has it.",
       [&](const NodeNumbers& node) { return roles.leader == node.view.name; });
  each("pgbalancer_node_sync_member", "1 if the node is a member of the record of who has each commit.",
       [&](const NodeNumbers& node) {
         return std::find(roles.sync_members.begin(), roles.sync_members.end(), node.view.name) !=
                roles.sync_members.end();
       });
  each("pgbalancer_node_agent_up", "1 if the node's agent has said something in the lease store within five seconds.",
       [&](const NodeNumbers& node) {
         const GroupRoles::Member* found = member(roles, node.view.name);
         return found != nullptr && !found->silent();
       });
  each("pgbalancer_node_streaming", "1 if the node answers and streams from another one, as its agent said last.",
       [&](const NodeNumbers& node) {
         const GroupRoles::Member* found = member(roles, node.view.name);
         return node.view.healthy && found != nullptr && found->streaming;
       });
}

}  // namespace

void write_group(MetricText& out, const std::vector<NodeNumbers>& nodes, const LiveState::RoleNumbers& roles) {
  write_counts(out, roles.counts);
  out.begin(Type::kGauge, "pgbalancer_node_timeline", "The timeline of the node's log; absent where it is not known.");
  for (const NodeNumbers& node : nodes) {
    const uint64_t timeline = timeline_of(node.view, roles.roles);
    if (timeline > 0) out.add(number(timeline), {{"node", node.view.name}});
  }
  if (roles.store_up) {
    out.one(Type::kGauge, "pgbalancer_group_store_up", "1 if the lease store answers; absent where there is none.",
            *roles.store_up ? 1 : 0);
  }
  if (!roles.roles) return;
  write_elections(out, roles.counts);
  write_roles(out, nodes, *roles.roles);
}

void write_servers(MetricText& out, const std::vector<NodeNumbers>& nodes) {
  std::vector<std::pair<std::string_view, proxy::BasicsBox::Ptr>> known;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  for (const NodeNumbers& node : nodes) {
    const auto basics = node.view.gauge->basics.get();
    if (node.view.healthy && basics && now - std::chrono::nanoseconds(basics->asked_ns) < kFresh) {
      known.emplace_back(node.view.name, basics);
    }
  }
  const auto each = [&](const char* name, const char* help, auto value) {
    out.begin(Type::kGauge, name, help);
    for (const auto& [node, basics] : known) out.add(value(*basics), {{"node", node}});
  };
  using Basics = proxy::ServerBasics;
  out.begin(Type::kGauge, "pgbalancer_node_postgres_info", "Always 1; the server's version is a label.");
  for (const auto& [node, basics] : known) out.add(1, {{"node", node}, {"version", basics->version}});
  each("pgbalancer_node_postgres_start_time_seconds", "When the server was started, since the epoch.",
       [](const Basics& basics) { return basics.started_s; });
  each("pgbalancer_node_postgres_connections", "Connections to the server's databases, of everybody.",
       [](const Basics& basics) { return number(basics.connections); });
  each("pgbalancer_node_postgres_max_connections", "How many there may be.",
       [](const Basics& basics) { return number(basics.max_connections); });
  const auto slots = [&](const char* name, const char* help, auto value) {
    out.begin(Type::kGauge, name, help);
    for (const auto& [node, basics] : known) {
      for (const Basics::Slot& slot : basics->slots) out.add(value(slot), {{"node", node}, {"slot", slot.name}});
    }
  };
  slots("pgbalancer_node_slot_retained_bytes",
        "Log that the server keeps for a replication slot; the twenty slots that keep most.",
        [](const Basics::Slot& slot) { return number(slot.retained_bytes); });
  slots("pgbalancer_node_slot_active", "1 if somebody reads from the slot.",
        [](const Basics::Slot& slot) { return slot.active ? 1.0 : 0.0; });
}

}  // namespace pgb::control
