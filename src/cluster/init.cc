#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <set>

#include "cluster/changes.h"
#include "cluster/cluster_file.h"
#include "cluster/contradictions.h"
#include "cluster/drop_replica.h"
#include "cluster/effective.h"
#include "cluster/parallel.h"
#include "cluster/probe.h"
#include "cluster/rest_calls.h"
#include "cluster/taken_ports.h"
#include "cluster/verbs.h"
#include "cluster/wait.h"
#include "model/read_cluster.h"
#include "model/topology_json.h"
#include "os/file.h"
#include "os/lock_file.h"

namespace pgb::cluster {

using runtime::UnitSpec;
using runtime::UnitState;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr seconds kEngineDeadline{60};

// The first error, with what stands and how to go on.
Error explain(const Session& session, const model::Cluster& cluster, Error error, const std::vector<Error>& others) {
  for (const Error& other : others) error.with("also", other.message);
  auto units = existing_units(session, Deadline::after(milliseconds(5000)));
  std::string standing, absent;
  const auto add = [](std::string& list, const std::string& name) { list += (list.empty() ? "" : ", ") + name; };
  if (units.ok()) {
    for (const auto& [name, unit] : *units) add(standing, name);
    for (const std::string& name : cluster.unit_names()) {
      if (units->count(name) == 0) add(absent, name);
    }
  }
  error.with("standing", standing.empty() ? "nothing" : standing);
  if (!absent.empty()) error.with("not made", absent);
  error.with("go on", "pgbalancer_cluster init --config " + session.options.file);
  error.with("undo", "pgbalancer_cluster destroy --config " + session.options.file);
  return error;
}

// All obstacles as one error; nothing has been touched.
Status preflight(Session& session, const model::Cluster& cluster, const std::vector<UnitSpec>& units) {
  session.tell("check", Event::State::kRunning, "ports, names, image, disk");
  const auto obstacles = session.runtime->preflight(cluster, units, Deadline::after(kEngineDeadline));
  if (obstacles.empty()) {
    session.tell("check", Event::State::kOk, "ports, names, image, disk");
    return {};
  }
  Error error = explain_obstacles(session, obstacles);
  session.tell("check", Event::State::kFailed, error.message);
  return error;
}

// Makes one unit and waits until it does what it is for.
Status bring_up(Session& session, const Waiting& waiting, const UnitSpec& unit) {
  PGB_TRY(ensure_unit(session, unit, Deadline::after(kEngineDeadline)));
  for (const model::Balancer& balancer : waiting.cluster.balancers) {
    if (balancer.name == unit.name) return wait_for_balancer(waiting, balancer);
    for (const model::Node& node : balancer.nodes()) {
      if (node.name == unit.name) return wait_for_node(waiting, balancer, node);
    }
  }
  return {};
}

// All at once: who needs another one waits for it by itself.
Status bring_all_up(Session& session, const Waiting& waiting, const std::vector<UnitSpec>& units) {
  std::vector<Status> results(units.size());
  for (const UnitSpec& unit : units)
    session.tell(unit.name, Event::State::kRunning, "creating");  // in the file's order
  *waiting.coming = static_cast<int>(
      std::count_if(units.begin(), units.end(), [](const UnitSpec& u) { return u.kind == UnitSpec::Kind::kNode; }));
  in_parallel(units.size(), [&](size_t i) {
    results[i] = bring_up(session, waiting, units[i]);
    if (units[i].kind == UnitSpec::Kind::kNode) --*waiting.coming;
    if (!results[i].ok()) *waiting.failed = true;
    if (!results[i].ok()) session.tell(units[i].name, Event::State::kFailed, results[i].error().message);
  });
  std::vector<Error> errors;
  for (Status& result : results) {
    if (!result.ok()) errors.push_back(std::move(result).error());
  }
  if (errors.empty()) return {};
  // What waits for a failed one fails too, by time: the cause is the other one.
  std::stable_partition(errors.begin(), errors.end(), [](const Error& e) { return e.code != Code::kTimeout; });
  Error first = errors[0];
  const bool stopped = first.code == Code::kInterrupted || first.code == Code::kTerminated;
  errors.erase(errors.begin());
  return explain(session, waiting.cluster, std::move(first), stopped ? std::vector<Error>{} : errors);
}

// An init that failed before it made a unit leaves nothing of ours. What else is there stays.
void forget(const Session& session) {
  auto left = session.runtime->remove_shared(session.wanted.cluster_name, true, Deadline::after(kEngineDeadline));
  if (!left.ok() || !left->empty()) return;  // something stands: the record must stay, too
  session.forget_record();
}

// A local program that was killed may have left servers that are still on their way out and hold its port. (A
// container's end with it; and a stop that an engine gets to late would hit the container's next life.)
Status end_leftovers(Session& session, const UnitMap& existing) {
  if (session.runtime->kind() == model::RuntimeKind::kDocker) return {};
  std::vector<std::string> names;
  for (const auto& [name, unit] : existing) {
    if (unit.state != UnitState::kRunning) names.push_back(name);
  }
  std::vector<Status> results(names.size());
  in_parallel(names.size(), [&](size_t i) {
    results[i] = session.runtime->stop(session.wanted.cluster_name, names[i], Deadline::after(kEngineDeadline));
  });
  for (Status& result : results) PGB_TRY(std::move(result));
  return {};
}

struct Goal {
  model::Cluster cluster;           // as it is to be
  model::Cluster known;             // that, and the replicas that are to go
  std::vector<std::string> extras;  // added later: kept, or to go
};

// What the file says, with the replicas that were added later.
Result<Goal> find_goal(const Session& session, const UnitMap& existing, bool prune) {
  Goal goal;
  auto recorded = session.recorded();
  if (!recorded.ok() && recorded.error().code != Code::kNoCluster) return std::move(recorded).error();
  goal.cluster = goal.known = session.wanted;
  if (!recorded.ok()) return goal;
  PGB_TRY(check_against_record(session.wanted, *recorded, existing));
  goal.known = with_extra_replicas(session.wanted, *recorded, &goal.extras);
  if (!prune) goal.cluster = goal.known;
  const model::Parsed parsed = model::parse_cluster(model::to_json(goal.known));
  if (parsed.mistakes.empty()) return goal;
  return contradiction("the file and the replicas that were added later do not go together: " + parsed.mistakes[0].text,
                       "give the replicas in the file other ids, names, ports and addresses, or list the added ones, "
                       "or remove-replica them first");
}

// Those that do not run yet.
std::vector<UnitSpec> missing_units(const std::vector<UnitSpec>& units, const UnitMap& existing) {
  std::vector<UnitSpec> missing;
  for (const UnitSpec& unit : units) {
    const auto known = existing.find(unit.name);
    if (known == existing.end() || known->second.state != UnitState::kRunning) missing.push_back(unit);
  }
  return missing;
}

struct Plan {
  Goal goal;
  std::vector<UnitSpec> units;
};

Result<Plan> make_plan(const Session& session, const UnitMap& existing, bool prune) {
  auto goal = find_goal(session, existing, prune);
  if (!goal.ok()) return std::move(goal).error();
  auto units = make_units(session, goal->cluster, Secrets{}, existing);
  if (!units.ok()) return std::move(units).error().with("changed", "nothing");
  return Plan{std::move(*goal), std::move(*units)};
}

// Gives session.wanted other ports where somebody else holds them. The file is not written yet.
Result<std::vector<PortChange>> move_ports(Session& session, const UnitMap& existing, bool prune) {
  constexpr int kRounds = 50;
  std::vector<PortChange> changes;
  std::set<uint16_t> avoid = ports_of(session.wanted);
  for (int round = 0; round < kRounds; ++round) {
    auto planned = make_plan(session, existing, prune);
    if (!planned.ok()) return std::move(planned).error();
    const auto obstacles =
        session.runtime->preflight(planned->goal.cluster, planned->units, Deadline::after(kEngineDeadline));
    const auto moved = take_free_ports(session.wanted, obstacles, avoid);
    if (moved.empty()) break;
    for (const PortChange& one : moved) {
      const auto before =
          std::find_if(changes.begin(), changes.end(), [&](const PortChange& c) { return c.key == one.key; });
      if (before == changes.end()) {
        changes.push_back(one);
      } else {
        before->to = one.to;
      }
    }
  }
  return changes;
}

std::string text_of(const PortChange& change) {
  return change.key + " is " + std::to_string(change.to) + " now: somebody else holds " + std::to_string(change.from);
}

// What was added later and is to go: who runs already is told by now.
Status drop_extras(Session& session, const Goal& goal, const Secrets& secrets, InitResult& result) {
  for (const std::string& name : goal.extras) {
    for (const model::Balancer& group : goal.known.balancers) {
      const bool here = std::any_of(group.replicas.begin(), group.replicas.end(),
                                    [&](const model::Node& node) { return node.name == name; });
      if (here) PGB_TRY(drop_replica(session, goal.known, secrets, group, name));
    }
    result.changed.push_back(name + " is removed with its data and slot: it is not in the file");
  }
  return session.record(goal.cluster);
}

}  // namespace

Result<InitResult> init(Session& session, const InitOptions& options) {
  const auto began = Deadline::Clock::now();
  auto lock_dir = os::make_dirs(session.cluster_dir(), 0755);
  if (!lock_dir.ok())
    return std::move(lock_dir).error().with("try", "set PGBALANCER_STATE_DIR to a directory you may write");
  auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", "init");
  if (!lock.ok()) return std::move(lock).error();
  auto existing = existing_units(session, Deadline::after(kEngineDeadline));
  if (!existing.ok()) return std::move(existing).error();
  std::vector<PortChange> moved;
  if (options.set_free_ports) {
    auto changes = move_ports(session, *existing, options.prune);
    if (!changes.ok()) return std::move(changes).error();
    moved = std::move(*changes);
  }
  auto planned = make_plan(session, *existing, options.prune);
  if (!planned.ok()) return std::move(planned).error();
  const Goal goal = std::move(planned->goal);
  // Units whose record and secrets are gone cannot be finished: their passwords are unknown.
  if (!existing->empty() && !session.secrets(false).ok()) {
    return Error(Code::kForeign, "parts of cluster " + goal.cluster.cluster_name +
                                     " exist, but their secrets are not in " + session.cluster_dir())
        .with("changed", "nothing")
        .with("try", "pgbalancer_cluster destroy, then init");
  }

  PGB_TRY(end_leftovers(session, *existing));
  const bool fresh = !session.secrets(false).ok();
  Status clear = preflight(session, goal.cluster, planned->units);
  if (clear.ok() && !moved.empty()) clear = save_ports(session.options.file, session.wanted, moved);
  if (!clear.ok()) {
    if (fresh) forget(session);
    return std::move(clear).error();
  }
  PGB_TRY(session.check_interrupted());

  // Beyond this point things are made; the record comes first, so that destroy finds all of them.
  auto secrets = session.secrets(true);
  if (!secrets.ok()) return std::move(secrets).error();
  const auto before = session.recorded();
  PGB_TRY(session.record(goal.known));
  auto units = make_units(session, goal.cluster, *secrets, *existing);
  if (!units.ok()) return std::move(units).error();
  Status prepared = session.runtime->prepare(
      goal.cluster, *units, [&](const std::string& text) { session.tell("prepare", Event::State::kRunning, text); },
      Deadline::after(std::chrono::minutes(30)));
  if (!prepared.ok() && fresh) {
    forget(session);
    return std::move(prepared).error().with(
        "changed", moved.empty() ? "nothing" : "the ports in " + session.options.file + ", nothing else");
  }
  if (!prepared.ok()) return explain(session, goal.cluster, std::move(prepared).error(), {});

  InitResult result;
  result.made = static_cast<int>(missing_units(*units, *existing).size());
  std::atomic<int> coming{0};
  std::atomic<bool> failed{false};
  PGB_TRY(bring_all_up(session, Waiting{session, goal.cluster, *secrets, &coming, &failed}, *units));
  result.cluster = goal.cluster;
  for (const model::Balancer& group : goal.cluster.balancers) {
    if (!runs(*existing, group.name)) PGB_TRY(note_certificate_shown(session, group));
  }
  if (before.ok()) {
    auto changes = apply_changes(session, *before, goal.cluster, *secrets, *units, *existing);
    if (!changes.ok()) return explain(session, goal.cluster, std::move(changes).error(), {});
    result.changed = std::move(changes->applied);
    result.pending = std::move(changes->pending);
  }
  for (const PortChange& one : moved) result.changed.push_back(text_of(one));
  if (options.prune) {
    if (Status dropped = drop_extras(session, goal, *secrets, result); !dropped.ok()) {
      return explain(session, goal.cluster, std::move(dropped).error(), {});
    }
  } else {
    for (const std::string& name : goal.extras) {
      result.notes.push_back(name + " was added later and is kept; init --prune removes it");
    }
  }
  result.seconds = std::chrono::duration<double>(Deadline::Clock::now() - began).count();
  char took[32];
  std::snprintf(took, sizeof took, "%.1f s", result.seconds);
  if (result.made > 0 || !result.changed.empty()) {
    session.log_event("init finished in " + std::string(took) + ": " + std::to_string(result.made) +
                      " made or started, " + std::to_string(result.changed.size()) + " changed");
  }
  return result;
}

Result<std::vector<std::string>> plan(Session& session, const InitOptions& options) {
  auto existing = existing_units(session, Deadline::after(kEngineDeadline));
  if (!existing.ok()) return std::move(existing).error();
  std::vector<std::string> steps;
  if (options.set_free_ports) {
    auto moved = move_ports(session, *existing, options.prune);
    if (!moved.ok()) return std::move(moved).error();
    for (const PortChange& one : *moved) {
      steps.push_back("set " + one.key + " to " + std::to_string(one.to) + " in " + session.options.file);
    }
  }
  auto planned = make_plan(session, *existing, options.prune);
  if (!planned.ok()) return std::move(planned).error();
  const std::vector<UnitSpec>& units = planned->units;
  const std::vector<UnitSpec> missing = missing_units(units, *existing);
  if (!missing.empty()) {
    auto shared = session.runtime->missing_shared(planned->goal.cluster, units, Deadline::after(kEngineDeadline));
    if (!shared.ok()) return std::move(shared).error();
    steps.insert(steps.end(), shared->begin(), shared->end());
  }
  for (const UnitSpec& unit : missing) {
    const bool there = existing->count(unit.name) != 0;
    std::string step = std::string(there ? "start " : "make ") + unit.name + " on " + unit.bind_address + ":" +
                       std::to_string(unit.ports[0].second);
    if (!there && unit.kind == UnitSpec::Kind::kNode) {
      step += ", about " + std::to_string(runtime::kBytesPerNode >> 20) + " MB of disk";
    }
    steps.push_back(std::move(step));
  }
  for (const UnitSpec& unit : units) {
    const auto known = existing->find(unit.name);
    if (known == existing->end() || known->second.state != UnitState::kRunning) continue;
    if (known->second.spec_hash != unit.spec_hash) steps.push_back("(pending until its restart) change " + unit.name);
  }
  if (options.prune) {
    for (const std::string& name : planned->goal.extras) steps.push_back("remove " + name + " with its data");
  }
  const auto obstacles = session.runtime->preflight(planned->goal.cluster, units, Deadline::after(kEngineDeadline));
  if (!obstacles.empty()) return explain_obstacles(session, obstacles);
  return steps;
}

}  // namespace pgb::cluster
