#include "cluster/rolling_restart.h"

#include <poll.h>

#include <algorithm>

#include "cluster/group_store.h"
#include "cluster/roles.h"
#include "cluster/verbs.h"

namespace pgb::cluster {

using std::chrono::seconds;

namespace {

// The groups, and in each the servers to restart: the one that leads last.
struct Turn {
  std::string group;
  std::vector<std::string> replicas;
  std::string primary;  // empty: it is not to be restarted
};

Result<std::vector<Turn>> turns(const Session& session, const std::string& name) {
  auto cluster = session.recorded();
  if (!cluster.ok()) return std::move(cluster).error();
  std::vector<Turn> turns;
  for (const model::Balancer& balancer : cluster->balancers) {
    const auto nodes = balancer.nodes();
    const bool has =
        name.empty() || std::any_of(nodes.begin(), nodes.end(), [&](const auto& n) { return n.name == name; });
    if (!has) continue;
    auto group = open_group(session, balancer.name);
    if (!group.ok()) return std::move(group).error();
    auto state = read_state(*group);
    if (!state.ok()) return std::move(state).error();
    Turn turn;
    turn.group = balancer.name;
    for (const model::Node& node : nodes) {
      if (!name.empty() && node.name != name) continue;
      if (node.name == state->leader) {
        turn.primary = node.name;
      } else {
        turn.replicas.push_back(node.name);
      }
    }
    turns.push_back(std::move(turn));
  }
  return turns;
}

// A replica that streams is not yet one that commits are counted on: with the next one away they would have to wait.
Status wait_counted_on(const Session& session, const std::string& balancer, const std::string& node) {
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  const Deadline patience = Deadline::after(seconds(30));
  for (; !patience.expired(); poll(nullptr, 0, 50)) {
    PGB_TRY(session.check_interrupted());
    auto state = read_state(*group);
    if (!state.ok()) continue;
    const bool counted = std::find(state->members.begin(), state->members.end(), node) != state->members.end();
    if (counted || state->durability == "async" || state->durability.empty()) return {};
  }
  return Error(Code::kTimeout, node + " streams, but " + balancer + " does not count on it for commits yet")
      .with("standing", "the servers before it are restarted")
      .with("go on", "pgbalancer_cluster restart");
}

Status restart_one(Session& session, const std::string& name) {
  PGB_TRY(stop(session, name));
  return start(session, name);
}

Status restart_primary(Session& session, const Turn& turn) {
  auto moved = switchover(session, turn.group, "");
  if (!moved.ok() && moved.error().code != Code::kNotReady) return moved.error();
  if (!moved.ok()) {
    session.tell(turn.primary, Event::State::kRunning, "in place, as nobody can take over: " + moved.error().message);
  }
  return restart_one(session, turn.primary);
}

}  // namespace

bool restarts_in_turn(const Session& session, const std::string& name) {
  auto cluster = session.recorded();
  if (!cluster.ok() || !cluster->ha.failover) return false;
  for (const model::Balancer& balancer : cluster->balancers) {
    const auto nodes = balancer.nodes();
    if (name.empty() || std::any_of(nodes.begin(), nodes.end(), [&](const auto& n) { return n.name == name; }))
      return true;
  }
  return false;
}

Status restart_in_turn(Session& session, const std::string& name) {
  auto all = turns(session, name);
  if (!all.ok()) return std::move(all).error();
  for (const Turn& turn : *all) {
    for (const std::string& replica : turn.replicas) {
      PGB_TRY(restart_one(session, replica));
      if (name.empty()) PGB_TRY(wait_counted_on(session, turn.group, replica));
    }
    if (!turn.primary.empty()) PGB_TRY(restart_primary(session, turn));
  }
  return {};
}

Result<std::vector<std::string>> plan_restart_in_turn(Session& session, const std::string& name) {
  auto all = turns(session, name);
  if (!all.ok()) return std::move(all).error();
  std::vector<std::string> steps;
  for (const Turn& turn : *all) {
    for (const std::string& replica : turn.replicas) steps.push_back("restart " + replica);
    if (turn.primary.empty()) continue;
    steps.push_back("switchover from " + turn.primary);
    steps.push_back("restart " + turn.primary);
  }
  return steps;
}

}  // namespace pgb::cluster
