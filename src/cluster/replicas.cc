// Growing and shrinking a group.
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cluster/changes.h"
#include "cluster/effective.h"
#include "cluster/parallel.h"
#include "cluster/verbs.h"
#include "cluster/wait.h"
#include "model/topology_json.h"
#include "os/file.h"
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

// The balancer's file anew, then a call that makes it read the file: clients stay connected.
Status tell_balancer(Session& session, const Cluster& cluster, const Secrets& secrets, const Balancer& group) {
  auto existing = existing_units(session, Deadline::after(kEngineDeadline));
  if (!existing.ok()) return std::move(existing).error();
  auto units = make_units(session, cluster, secrets, *existing);
  if (!units.ok()) return std::move(units).error();
  for (const UnitSpec& unit : *units) {
    if (unit.name == group.name) PGB_TRY(session.runtime->ensure(unit, Deadline::after(kEngineDeadline)));
  }
  return reload_balancer(cluster, secrets, group);
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

// Adds the replicas to the file as it stands: its order, its other keys and its mode stay.
Status save_file(const Session& session, const std::string& balancer, const std::vector<Added>& added) {
  using Json = nlohmann::ordered_json;
  const std::string& file = session.options.file;
  const auto refuse = [&file](const std::string& why) {
    return Error(Code::kConfig, "the replicas run, but " + file + " was left as it is: " + why)
        .with("try", "add them to \"replicas\" by hand; pgbalancer_cluster status shows their ports");
  };
  struct stat info = {};
  if (file == "-" || ::stat(file.c_str(), &info) != 0) return refuse("it is no file that can be written");
  auto text = os::read_file(file);
  if (!text.ok()) return std::move(text).error();
  Json document = Json::parse(*text, nullptr, false);
  if (!document.is_object() || !document.contains("balancers")) return refuse("it does not list its balancers");
  for (Json& group : document["balancers"]) {
    if (group.value("name", balancer) != balancer) continue;
    if (!group.contains("replicas")) return refuse("it does not list the replicas of " + balancer);
    for (const Added& one : added) {
      group["replicas"].push_back({{"node_id", one.node.node_id},
                                   {"host", one.node.name},
                                   {"port", one.node.port},
                                   {"container_name", one.node.container_name},
                                   {"ip_address", one.node.ip_address}});
    }
    return os::write_file_atomic(file, document.dump(2) + "\n", info.st_mode & 07777,
                                 os::Owner{info.st_uid, info.st_gid});
  }
  return refuse("it has no balancer " + balancer);
}

}  // namespace

Result<std::vector<Added>> add_replica(Session& session, const std::string& balancer, int count, bool save) {
  auto opened = open_for_change(session, "add-replica");
  if (!opened.ok()) return std::move(opened).error();
  Cluster& cluster = opened->cluster;
  auto group = find_group(cluster, balancer);
  if (!group.ok()) return std::move(group).error();

  std::vector<Added> added;
  for (int i = 0; i < count; ++i) {
    Added one;
    one.node = next_replica(cluster, **group);
    (*group)->replicas.push_back(one.node);
    added.push_back(one);
  }
  auto existing = existing_units(session, Deadline::after(kEngineDeadline));
  if (!existing.ok()) return std::move(existing).error();
  auto units = make_units(session, cluster, opened->secrets, *existing);
  if (!units.ok()) return std::move(units).error();
  std::vector<UnitSpec> fresh;
  for (const UnitSpec& unit : *units) {
    if (std::any_of(added.begin(), added.end(), [&](const Added& a) { return a.node.name == unit.name; })) {
      fresh.push_back(unit);
    }
  }
  std::vector<Error> obstacles = session.runtime->preflight(cluster, fresh, Deadline::after(kEngineDeadline));
  if (!obstacles.empty()) return obstacles[0].with("changed", "nothing");

  // Beyond this point replicas are made; the record comes first, so that status and destroy know them.
  PGB_TRY(session.record(cluster));
  const Waiting waiting{session, cluster, opened->secrets};
  const Balancer group_now = **group;
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
  if (save) PGB_TRY(save_file(session, group_now.name, added));
  for (const Added& one : added) session.log_event("added " + one.node.name + " to " + group_now.name);
  return added;
}

Result<std::string> remove_replica(Session& session, const std::string& balancer, const std::string& node) {
  auto opened = open_for_change(session, "remove-replica");
  if (!opened.ok()) return std::move(opened).error();
  Cluster& cluster = opened->cluster;
  auto group = find_group(cluster, balancer);
  if (!group.ok()) return std::move(group).error();
  Balancer& from = **group;
  if (node == from.primary.name || node == "0") {
    return Error(Code::kIsPrimary, from.primary.name + " is the primary of " + from.name + " and stays")
        .with("changed", "nothing");
  }
  auto found = std::find_if(from.replicas.begin(), from.replicas.end(),
                            [&](const Node& one) { return one.name == node || std::to_string(one.node_id) == node; });
  if (found == from.replicas.end()) {
    std::string known;
    for (const Node& one : from.replicas) {
      known += (known.empty() ? "" : ", ") + std::to_string(one.node_id) + " (" + one.name + ")";
    }
    return Error(Code::kNoNode, "balancer " + from.name + " has no replica " + node).with("known", known);
  }
  const Node removed = *found;
  from.replicas.erase(found);
  const Balancer group_now = from;
  // First nobody is sent there, then it goes, then its slot; the record last, so that a second try finds it.
  session.tell(removed.name, Event::State::kRunning, "leaving the balancer");
  const Status told = tell_balancer(session, cluster, opened->secrets, group_now);
  session.tell(removed.name, Event::State::kRunning, "removing");
  PGB_TRY(session.runtime->remove(cluster.cluster_name, removed.name, false, Deadline::after(kEngineDeadline)));
  auto existing = existing_units(session, Deadline::after(kEngineDeadline));
  if (!existing.ok()) return std::move(existing).error();
  const auto primary = existing->find(group_now.primary.name);
  if (primary == existing->end())
    return Error(Code::kNotReady, group_now.primary.name + " is not there to drop the slot");
  Status dropped;
  const Deadline until = Deadline::after(seconds(10));
  do {  // the primary may take a moment to see that its walsender's peer is gone
    dropped = api::drop_slot(agent_address(cluster, opened->secrets, primary->second), slot_name(removed.name),
                             Deadline::after(seconds(5)));
  } while (!dropped.ok() && dropped.error().code == Code::kSql && !until.expired());
  PGB_TRY(std::move(dropped));
  PGB_TRY(session.record(cluster));
  session.tell(removed.name, Event::State::kOk, "removed with its data and slot");
  session.log_event("removed " + removed.name + " from " + group_now.name);
  if (!told.ok()) return told.error();
  return removed.name;
}

}  // namespace pgb::cluster
