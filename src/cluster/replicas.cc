// Growing and shrinking a group.
#include <algorithm>
#include <set>

#include "cluster/changes.h"
#include "cluster/cluster_file.h"
#include "cluster/drop_replica.h"
#include "cluster/effective.h"
#include "cluster/parallel.h"
#include "cluster/primary.h"
#include "cluster/rest_calls.h"
#include "cluster/taken_ports.h"
#include "cluster/verbs.h"
#include "cluster/wait.h"
#include "os/lock_file.h"

namespace pgb::cluster {

using model::Balancer;
using model::Cluster;
using model::Node;
using runtime::UnitSpec;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr seconds kEngineDeadline{60};

Result<Balancer*> find_group(Cluster& cluster, const std::string& name) {
  Balancer* found = name.empty() && cluster.balancers.size() == 1 ? &cluster.balancers[0] : cluster.find_balancer(name);
  if (found != nullptr) return found;
  std::string names;
  for (const Balancer& balancer : cluster.balancers) names += (names.empty() ? "" : ", ") + balancer.name;
  return Error(Code::kNoBalancer,
               name.empty() ? "which balancer? the cluster has several" : "there is no balancer " + name)
      .with("known", names)
      .with("try", "--balancer " + cluster.balancers[0].name);
}

// Files anew for the balancer and the agents that run; agents look at theirs by themselves, the balancer after a call.
// Clients stay connected.
Status tell_balancer(Session& session, const Cluster& cluster, const Secrets& secrets, const Balancer& group) {
  auto existing = existing_units(session, Deadline::after(kEngineDeadline));
  if (!existing.ok()) return std::move(existing).error();
  auto units = make_units(session, cluster, secrets, *existing);
  if (!units.ok()) return std::move(units).error();
  for (const UnitSpec& unit : *units) {
    const auto known = existing->find(unit.name);
    const bool agent_runs =
        unit.group == group.name && known != existing->end() && known->second.state == runtime::UnitState::kRunning;
    if (unit.name == group.name || agent_runs) PGB_TRY(ensure_unit(session, unit, Deadline::after(kEngineDeadline)));
  }
  return reload_balancer(session, cluster, secrets, group, group.config.rest_tls);
}

struct Opened {
  os::LockFile lock;
  Cluster cluster;
  Secrets secrets;
};

Result<Opened> open_for_change(Session& session, const std::string& verb) {
  if (!session.has_record()) return session.recorded().error();
  auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", verb);
  if (!lock.ok()) return std::move(lock).error();
  auto cluster = session.recorded();
  if (!cluster.ok()) return std::move(cluster).error();
  auto secrets = session.secrets(false);
  if (!secrets.ok()) return std::move(secrets).error();
  return Opened{std::move(*lock), std::move(*cluster), std::move(*secrets)};
}

// The next replicas of the group with ports that are free on this machine, and the units they are. `cluster` has them
// already.
struct Choice {
  std::vector<Added> added;
  std::vector<UnitSpec> units;
};

Result<Choice> choose_replicas(Session& session, Cluster& cluster, const Secrets& secrets, Balancer& group, int count,
                               const std::set<uint16_t>& avoid) {
  Choice choice;
  for (int i = 0; i < count; ++i) {
    Added one;
    one.node = next_replica(cluster, group, avoid);
    group.replicas.push_back(one.node);
    choice.added.push_back(one);
  }
  auto existing = existing_units(session, Deadline::after(kEngineDeadline));
  if (!existing.ok()) return std::move(existing).error();
  auto units = make_units(session, cluster, secrets, *existing);
  if (!units.ok()) return std::move(units).error();
  for (const UnitSpec& unit : *units) {
    const bool fresh = std::any_of(choice.added.begin(), choice.added.end(),
                                   [&](const Added& one) { return one.node.name == unit.name; });
    if (fresh) choice.units.push_back(unit);
  }
  return choice;
}

// Tries other ports as long as somebody else holds the ones that came next.
Result<Choice> find_replicas(Session& session, Cluster& cluster, const Secrets& secrets, const std::string& balancer,
                             int count) {
  constexpr int kRounds = 50;
  std::set<uint16_t> avoid;
  for (int round = 0;; ++round) {
    Cluster wider = cluster;
    auto group = find_group(wider, balancer);
    if (!group.ok()) return std::move(group).error();
    auto choice = choose_replicas(session, wider, secrets, **group, count, avoid);
    if (!choice.ok()) return choice;
    const auto obstacles = session.runtime->preflight(wider, choice->units, Deadline::after(kEngineDeadline));
    const bool ports_only =
        std::all_of(obstacles.begin(), obstacles.end(), [](const runtime::Obstacle& one) { return one.port != 0; });
    if (obstacles.empty()) {
      cluster = std::move(wider);
      return choice;
    }
    if (!ports_only || round == kRounds) return explain_obstacles(session, obstacles);
    for (const runtime::Obstacle& one : obstacles) avoid.insert(one.port);
  }
}

struct Found {
  Balancer* group;
  std::vector<Node>::iterator replica;
};

bool is_named(const Node& node, const std::string& by) { return node.name == by || std::to_string(node.node_id) == by; }

Result<Found> find_among_replicas(Balancer& from, const std::string& node) {
  auto found =
      std::find_if(from.replicas.begin(), from.replicas.end(), [&](const Node& one) { return is_named(one, node); });
  if (found != from.replicas.end()) return Found{&from, found};
  std::string known;
  for (const Node& one : from.replicas) {
    known += (known.empty() ? "" : ", ") + std::to_string(one.node_id) + " (" + one.name + ")";
  }
  return Error(Code::kNoNode, "balancer " + from.name + " has no replica " + node).with("known", known);
}

// One that may go: any but the primary of just now. Where agents choose who that is, the file's is one as the others;
// the primary then takes its place in the record, with its id.
Result<Found> find_replica(Cluster& cluster, const Secrets& secrets, const std::string& balancer,
                           const std::string& node) {
  auto group = find_group(cluster, balancer);
  if (!group.ok()) return std::move(group).error();
  Balancer& from = **group;
  const bool is_first = is_named(from.primary, node);
  if (!is_first) {
    if (auto known = find_among_replicas(from, node); !known.ok()) return known;
  }
  const auto leads = find_primary(cluster, secrets, from);
  if (is_first && !leads.ok()) return Error(leads.error()).with("changed", "nothing");
  const std::string name = is_first ? from.primary.name : find_among_replicas(from, node)->replica->name;
  const bool stays = is_first && !cluster.ha.failover;
  if (stays || (leads.ok() && leads->name == name)) {
    return Error(Code::kIsPrimary, name + " is the primary of " + from.name + " just now")
        .with("changed", "nothing")
        .with("try", cluster.ha.failover
                         ? "pgbalancer_cluster switchover, then again"
                         : "\"ha\": {\"failover\": true} in the file, stop, init: then another one can lead");
  }
  if (is_first) {
    const auto heir = find_among_replicas(from, leads->name);
    if (!heir.ok()) return heir;
    std::swap(from.primary, *heir->replica);
    std::swap(from.primary.node_id, heir->replica->node_id);
    std::swap(from.primary.role, heir->replica->role);
  }
  return find_among_replicas(from, name);
}

}  // namespace

Result<std::vector<Added>> plan_add_replica(Session& session, const std::string& balancer, int count) {
  auto cluster = session.recorded();
  if (!cluster.ok()) return std::move(cluster).error();
  auto secrets = session.secrets(false);
  if (!secrets.ok()) return std::move(secrets).error();
  auto choice = find_replicas(session, *cluster, *secrets, balancer, count);
  if (!choice.ok()) return std::move(choice).error();
  return std::move(choice->added);
}

Result<std::vector<Added>> add_replica(Session& session, const std::string& balancer, int count, bool save) {
  auto opened = open_for_change(session, "add-replica");
  if (!opened.ok()) return std::move(opened).error();
  Cluster& cluster = opened->cluster;
  auto choice = find_replicas(session, cluster, opened->secrets, balancer, count);
  if (!choice.ok()) return std::move(choice).error();
  std::vector<Added>& added = choice->added;
  const std::vector<UnitSpec>& fresh = choice->units;

  // Beyond this point replicas are made; the record comes first, so that status and destroy know them.
  PGB_TRY(session.record(cluster));
  const Waiting waiting{session, cluster, opened->secrets};
  const Balancer group_now = **find_group(cluster, balancer);
  std::vector<Status> results(fresh.size());
  in_parallel(fresh.size(), [&](size_t i) {
    const auto began = Deadline::Clock::now();
    session.tell(fresh[i].name, Event::State::kRunning, "creating");
    results[i] = session.runtime->ensure(fresh[i], Deadline::after(kEngineDeadline));
    if (results[i].ok()) results[i] = wait_for_node(waiting, group_now, added[i].node);
    added[i].seconds = std::chrono::duration<double>(Deadline::Clock::now() - began).count();
  });
  for (Status& result : results) {
    if (!result.ok()) {
      return std::move(result)
          .error()
          .with("standing", "the new replicas are recorded")
          .with("go on", "pgbalancer_cluster init --config " + session.options.file)
          .with("undo", "pgbalancer_cluster remove-replica --node " + added[0].node.name);
    }
  }
  PGB_TRY(tell_balancer(session, cluster, opened->secrets, group_now));
  std::vector<Node> nodes;
  for (const Added& one : added) {
    nodes.push_back(one.node);
    session.log_event("added " + one.node.name + " to " + group_now.name);
  }
  if (save) PGB_TRY(save_replicas(session.options.file, group_now.name, nodes));
  return std::move(added);
}

Result<std::string> plan_remove_replica(Session& session, const std::string& balancer, const std::string& node) {
  auto cluster = session.recorded();
  if (!cluster.ok()) return std::move(cluster).error();
  auto secrets = session.secrets(false);
  if (!secrets.ok()) return std::move(secrets).error();
  auto found = find_replica(*cluster, *secrets, balancer, node);
  if (!found.ok()) return std::move(found).error();
  return found->replica->name;
}

Result<Removed> remove_replica(Session& session, const std::string& balancer, const std::string& node) {
  auto opened = open_for_change(session, "remove-replica");
  if (!opened.ok()) return std::move(opened).error();
  Cluster& cluster = opened->cluster;
  const Cluster before = cluster;
  auto found = find_replica(cluster, opened->secrets, balancer, node);
  if (!found.ok()) return std::move(found).error();
  const std::string name = found->replica->name;
  found->group->replicas.erase(found->replica);
  const Balancer group_now = *found->group;
  // First nobody is sent there, then it goes, then its slot; the record last, so that a second try finds it.
  session.tell(name, Event::State::kRunning, "leaving the balancer");
  const Status told = tell_balancer(session, cluster, opened->secrets, group_now);
  PGB_TRY(drop_replica(session, cluster, opened->secrets, group_now, name));
  PGB_TRY(session.record(cluster));
  if (!told.ok()) return told.error();
  const bool was_first = before.find_balancer(group_now.name)->primary.name == name;
  if (was_first) session.log_event(group_now.primary.name + " is the first server of " + group_now.name + " now");
  return Removed{name, was_first ? group_now.primary.name : ""};
}

}  // namespace pgb::cluster
