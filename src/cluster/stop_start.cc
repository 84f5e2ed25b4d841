#include <algorithm>
#include <set>

#include "cluster/parallel.h"
#include "cluster/primary.h"
#include "cluster/rest_calls.h"
#include "cluster/verbs.h"
#include "cluster/wait.h"
#include "os/lock_file.h"

namespace pgb::cluster {

using std::chrono::seconds;

namespace {

Status check_name(const UnitMap& units, const std::string& name) {
  if (name.empty() || units.count(name) != 0) return {};
  std::string known;
  for (const auto& [unit, info] : units) known += (known.empty() ? "" : ", ") + unit;
  return Error(Code::kNoNode, "there is no node or balancer " + name).with("known", known);
}

// Balancers and replicas before the primary, so that the last WAL reaches the replicas.
Status stop_some(Session& session, const std::vector<std::string>& names) {
  std::vector<Status> results(names.size());
  in_parallel(names.size(), [&](size_t i) {
    session.tell(names[i], Event::State::kRunning, "stopping");
    results[i] = session.runtime->stop(session.wanted.cluster_name, names[i], Deadline::after(seconds(30)));
    session.tell(names[i], results[i].ok() ? Event::State::kOk : Event::State::kFailed,
                 results[i].ok() ? "stopped" : results[i].error().message);
  });
  for (Status& result : results) PGB_TRY(std::move(result));
  return {};
}

}  // namespace

Result<std::vector<std::string>> units_to_change(Session& session, const std::string& name, bool stopped) {
  if (auto cluster = session.recorded(); !cluster.ok()) return std::move(cluster).error();
  auto units = existing_units(session, Deadline::after(seconds(30)));
  if (!units.ok()) return std::move(units).error();
  PGB_TRY(check_name(*units, name));
  std::vector<std::string> found;
  for (const auto& [unit, info] : *units) {
    const bool runs = info.state == runtime::UnitState::kRunning;
    if ((name.empty() || name == unit) && runs != stopped) found.push_back(unit);
  }
  return found;
}

Status stop(Session& session, const std::string& name) {
  if (!session.has_record()) return session.recorded().error();  // no lock file where there is no cluster
  auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", "stop");
  if (!lock.ok()) return std::move(lock).error();
  auto cluster = session.recorded();
  if (!cluster.ok()) return std::move(cluster).error();
  auto units = existing_units(session, Deadline::after(seconds(30)));
  if (!units.ok()) return std::move(units).error();
  PGB_TRY(check_name(*units, name));
  if (!name.empty()) return stop_some(session, {name});
  std::vector<std::string> balancers, servers;
  for (const auto& [unit, info] : *units) {
    (info.kind == runtime::UnitSpec::Kind::kBalancer ? balancers : servers).push_back(unit);
  }
  // The primaries, as long as somebody can be asked: servers answer without balancers, but stop without a leader.
  std::set<std::string> leading;
  const auto secrets = session.secrets(false);
  for (const model::Balancer& group : cluster->balancers) {
    const auto found = secrets.ok() ? find_primary(*cluster, *secrets, group) : Result<model::Node>(group.primary);
    leading.insert(found.ok() ? found->name : group.primary.name);
  }
  // The primary's fast shutdown sends its last WAL to the replicas that are still there.
  PGB_TRY(stop_some(session, balancers));
  std::vector<std::string> primaries, replicas;
  for (const std::string& unit : servers) {
    (leading.contains(unit) ? primaries : replicas).push_back(unit);
  }
  PGB_TRY(stop_some(session, primaries));
  PGB_TRY(stop_some(session, replicas));
  session.log_event("stopped");
  return {};
}

Status start(Session& session, const std::string& name) {
  if (!session.has_record()) return session.recorded().error();  // no lock file where there is no cluster
  auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", "start");
  if (!lock.ok()) return std::move(lock).error();
  auto cluster = session.recorded();
  if (!cluster.ok()) return std::move(cluster).error();
  auto secrets = session.secrets(false);
  if (!secrets.ok()) return std::move(secrets).error();
  auto existing = existing_units(session, Deadline::after(seconds(30)));
  if (!existing.ok()) return std::move(existing).error();
  PGB_TRY(check_name(*existing, name));
  auto units = make_units(session, *cluster, *secrets, *existing);
  if (!units.ok()) return std::move(units).error();
  Waiting waiting{session, *cluster, *secrets};
  waiting.named = !name.empty();
  std::vector<std::function<Status()>> work;
  for (const model::Balancer& group : cluster->balancers) {
    for (const model::Node& node : group.nodes()) {
      if (name.empty() || name == node.name) work.push_back([&, node] { return wait_for_node(waiting, group, node); });
    }
    if (name.empty() || name == group.name) work.push_back([&] { return wait_for_balancer(waiting, group); });
  }
  for (const runtime::UnitSpec& unit : *units) {
    if (!name.empty() && unit.name != name) continue;
    session.tell(unit.name, Event::State::kRunning, "starting");
    PGB_TRY(ensure_unit(session, unit, Deadline::after(seconds(60))));
  }
  std::vector<Status> results(work.size());
  in_parallel(work.size(), [&](size_t i) { results[i] = work[i](); });
  for (Status& result : results) PGB_TRY(std::move(result));
  for (const model::Balancer& group : cluster->balancers) {
    if (!runs(*existing, group.name) && (name.empty() || name == group.name))
      PGB_TRY(note_certificate_shown(session, group));
  }
  session.log_event(name.empty() ? "started" : "started " + name);
  return {};
}

Status restart(Session& session, const std::string& name) {
  PGB_TRY(stop(session, name));
  return start(session, name);
}

}  // namespace pgb::cluster
