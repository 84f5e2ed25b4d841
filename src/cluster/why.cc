#include "cluster/why.h"

#include <algorithm>
#include <optional>

#include "cluster/parallel.h"

namespace pgb::cluster {

using api::Explanation;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr milliseconds kAgent{1000};

// Whose store answers knows more; of these the leader, which hears from its standbys, too.
int knowledge(const Explanation& view) {
  return (view.store_reachable ? 4 : 0) + (view.members.empty() ? 0 : 2) + (view.node == view.leader ? 1 : 0);
}

}  // namespace

Result<WhyGroup> why(const Session& session, const Group& group) {
  auto units = existing_units(session, Deadline::after(seconds(10)));
  if (!units.ok()) return std::move(units).error();
  const auto nodes = group.balancer.nodes();
  std::vector<std::optional<Explanation>> views(nodes.size());
  std::vector<std::string> silence(nodes.size());
  in_parallel(nodes.size(), [&](size_t i) {
    const auto unit = units->find(nodes[i].name);
    if (unit == units->end() || unit->second.state != runtime::UnitState::kRunning) {
      silence[i] = "it does not run";
      return;
    }
    auto said = api::agent_why(agent_address(group.cluster, group.secrets, unit->second), Deadline::after(kAgent));
    if (said.ok()) {
      views[i] = std::move(*said);
    } else {
      silence[i] = said.error().message;
    }
  });
  WhyGroup result;
  result.group = group.balancer.name;
  const Explanation* best = nullptr;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!views[i]) {
      result.silent.push_back({nodes[i].name, silence[i]});
    } else if (best == nullptr || knowledge(*views[i]) > knowledge(*best)) {
      best = &*views[i];
    }
  }
  if (best == nullptr) {
    Error error(Code::kNotReady, "no agent of " + result.group + " answers");
    for (const auto& one : result.silent) error.with(one.node, one.reason);
    return std::move(error).with("try", "pgbalancer_cluster start");
  }
  result.view = *best;
  return result;
}

Result<WhyGroup> why(Session& session, const std::string& balancer) {
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  return why(session, *group);
}

Result<Route> why_statement(Session& session, const std::string& balancer, const std::string& sql) {
  auto cluster = session.recorded();
  if (!cluster.ok()) return std::move(cluster).error();
  auto secrets = session.secrets(false);
  if (!secrets.ok()) return std::move(secrets).error();
  const model::Balancer* group =
      balancer.empty() && cluster->balancers.size() == 1 ? &cluster->balancers[0] : cluster->find_balancer(balancer);
  if (group == nullptr) {
    return Error(Code::kNoBalancer,
                 balancer.empty() ? "which balancer? the cluster has several" : "there is no balancer " + balancer)
        .with("try", "--balancer " + cluster->balancers[0].name);
  }
  const Deadline deadline = Deadline::after(seconds(5));
  auto connection = pgclient::Connection::open(balancer_conninfo(*cluster, *secrets, *group), deadline);
  if (!connection.ok()) return std::move(connection).error().in(group->name);
  auto answer = (*connection)->query("EXPLAIN (ROUTE) " + sql, deadline);
  if (!answer.ok()) return std::move(answer).error().in(group->name);
  if (answer->empty() || answer->at(0).rows.empty()) {
    return Error(Code::kProtocol, group->name + " does not say where a statement goes");
  }
  const pgclient::ResultSet& row = answer->at(0);
  return Route{row.get(0, "node"), row.get(0, "role"), row.get(0, "reason"), row.get(0, "verdict")};
}

}  // namespace pgb::cluster
