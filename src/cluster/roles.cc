#include "cluster/roles.h"

#include <poll.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cluster/primary.h"
#include "cluster/units.h"
#include "dcs/etcd_client.h"
#include "dcs/keys.h"
#include "os/lock_file.h"

namespace pgb::cluster {

using dcs::Compare;
using dcs::Op;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr seconds kPatience{30};  // for the agents to begin
constexpr milliseconds kCall{2000};

// One group and its store.
struct Group {
  model::Cluster cluster;
  Secrets secrets;
  model::Balancer balancer;
  std::unique_ptr<dcs::Dcs> store;
  dcs::Keys keys;
};

Result<std::vector<std::string>> endpoints_of(const Session& session, const model::Cluster& cluster,
                                              const model::Balancer& balancer) {
  if (!cluster.dcs_etcd.empty()) return cluster.dcs_etcd;
  auto units = existing_units(session, Deadline::after(seconds(30)));
  if (!units.ok()) return std::move(units).error();
  const auto unit = units->find(balancer.name);
  const auto port =
      unit == units->end() ? std::map<uint16_t, uint16_t>::const_iterator() : unit->second.ports.find(kStorePort);
  if (unit == units->end() || port == unit->second.ports.end()) {
    return Error(Code::kNotReady, balancer.name + " keeps no lease store: its agents do not choose a primary")
        .with("changed", "nothing")
        .with("try", "\"ha\": {\"failover\": true} in the cluster file, before it is made");
  }
  return std::vector<std::string>{"http://" + reachable_host(cluster) + ":" + std::to_string(port->second)};
}

Result<Group> open_group(const Session& session, const std::string& name) {
  auto cluster = session.recorded();
  if (!cluster.ok()) return std::move(cluster).error();
  auto secrets = session.secrets(false);
  if (!secrets.ok()) return std::move(secrets).error();
  const bool only = name.empty() && cluster->balancers.size() == 1;
  const model::Balancer* balancer = only ? &cluster->balancers[0] : cluster->find_balancer(name);
  if (balancer == nullptr) {
    return Error(Code::kNoBalancer,
                 name.empty() ? "which balancer? the cluster has several" : "there is no balancer " + name)
        .with("try", "--balancer " + cluster->balancers[0].name);
  }
  auto endpoints = endpoints_of(session, *cluster, *balancer);
  if (!endpoints.ok()) return std::move(endpoints).error();
  dcs::EtcdSettings settings;
  settings.endpoints = *endpoints;
  if (cluster->dcs_etcd.empty()) {
    settings.user = "pgbalancer";
    settings.password = secrets->store_password;
  }
  auto store = dcs::make_etcd_client(std::move(settings));
  if (!store.ok()) return std::move(store).error();
  dcs::Keys keys(cluster->cluster_name, balancer->name);
  return Group{*cluster, *secrets, *balancer, std::move(*store), std::move(keys)};
}

// A record's JSON; an empty object if there is none.
Result<json> read(Group& group, const std::string& key) {
  auto found = group.store->range({key, false}, Deadline::after(kCall));
  if (!found.ok()) return std::move(found).error().in("lease store of " + group.balancer.name);
  if (found->kvs.empty()) return json::object();
  json doc = json::parse(found->kvs[0].value, nullptr, false);
  return doc.is_object() ? doc : json::object();
}

Result<std::string> leader_of(Group& group) {
  auto leader = read(group, group.keys.leader());
  if (!leader.ok()) return std::move(leader).error();
  return leader->value("holder", "");
}

Status check_node(const Group& group, const std::string& to) {
  if (to.empty()) return {};
  const auto nodes = group.balancer.nodes();
  std::string known;
  for (const model::Node& node : nodes) {
    if (node.name == to) return {};
    known += (known.empty() ? "" : ", ") + node.name;
  }
  return Error(Code::kNoNode, group.balancer.name + " has no node " + to)
      .with("known", known)
      .with("changed", "nothing");
}

Status leave_request(Group& group, const char* kind, const std::string& to, bool force) {
  dcs::Txn txn;
  txn.when = {Compare::absent(group.keys.failover())};
  const json request{{"kind", kind}, {"node", to}, {"force", force}, {"seconds", kPatience.count()}};
  txn.then = {Op::put(group.keys.failover(), request.dump())};
  auto done = group.store->txn(txn, Deadline::after(kCall));
  if (!done.ok()) return std::move(done).error().in("lease store of " + group.balancer.name);
  if (done->succeeded) return {};
  return Error(Code::kBusy, "another request to change roles stands in " + group.balancer.name)
      .with("changed", "nothing");
}

std::vector<Change> read_history(Group& group) {
  std::vector<Change> changes;
  auto found = group.store->range({group.keys.history(), true}, Deadline::after(seconds(10)));
  if (!found.ok()) return changes;
  for (const dcs::KeyValue& kv : found->kvs) {
    const json doc = json::parse(kv.value, nullptr, false);
    if (!doc.is_object()) continue;
    changes.push_back({doc.value("time", ""), group.balancer.name, doc.value("node", ""), doc.value("action", ""),
                       doc.value("epoch", uint64_t{0}), doc.value("text", "")});
  }
  return changes;
}

// The sentence of the newest line of that kind; empty if there is none.
std::string last_words(Group& group, const std::string& action) {
  const auto changes = read_history(group);
  const auto found =
      std::find_if(changes.rbegin(), changes.rend(), [&](const Change& change) { return change.action == action; });
  return found == changes.rend() ? "" : found->text;
}

// Until another one than `from` leads, takes writes, and the request is done with.
Result<RoleChange> wait_for_change(const Session& session, Group& group, const std::string& from) {
  const auto began = Deadline::Clock::now();
  const Deadline deadline = Deadline::after(kPatience + seconds(10));
  for (; !deadline.expired(); poll(nullptr, 0, 20)) {
    PGB_TRY(session.check_interrupted());
    auto leader = read(group, group.keys.leader());
    auto sync = read(group, group.keys.sync());
    auto request = read(group, group.keys.failover());
    if (!leader.ok() || !sync.ok() || !request.ok()) continue;
    const std::string holder = leader->value("holder", "");
    const uint64_t epoch = leader->value("epoch", uint64_t{0});
    const bool opened = sync->value("leader", "") == holder && sync->value("epoch", uint64_t{0}) == epoch;
    if (!holder.empty() && holder != from && opened) {
      const std::chrono::duration<double> took = Deadline::Clock::now() - began;
      return RoleChange{group.balancer.name, from, holder, epoch, took.count(), last_words(group, "acquire")};
    }
    if (request->empty() && !from.empty() && holder == from) {
      return Error(Code::kNotReady, last_words(group, "request")).with("changed", "nothing: " + from + " leads on");
    }
  }
  return Error(Code::kTimeout,
               "nobody else leads " + group.balancer.name + " yet; the request may still be carried out")
      .with("look", "pgbalancer_cluster history");
}

}  // namespace

Result<RoleChange> switchover(Session& session, const std::string& balancer, const std::string& to) {
  if (!session.has_record()) return session.recorded().error();
  auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", "switchover");
  if (!lock.ok()) return std::move(lock).error();
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  PGB_TRY(check_node(*group, to));
  auto from = leader_of(*group);
  if (!from.ok()) return std::move(from).error();
  if (from->empty()) {
    return Error(Code::kNotReady, "nobody leads " + group->balancer.name + " just now")
        .with("try", "pgbalancer_cluster failover");
  }
  if (*from == to) return RoleChange{group->balancer.name, to, to, 0, 0, to + " leads already"};
  PGB_TRY(leave_request(*group, "switchover", to, false));
  session.tell(group->balancer.name, Event::State::kRunning, *from + " hands over");
  auto change = wait_for_change(session, *group, *from);
  if (change.ok()) session.log_event("switchover of " + group->balancer.name + ": " + *from + " -> " + change->to);
  return change;
}

Result<RoleChange> failover(Session& session, const std::string& balancer, const std::string& to, bool force) {
  if (!session.has_record()) return session.recorded().error();
  auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", "failover");
  if (!lock.ok()) return std::move(lock).error();
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  PGB_TRY(check_node(*group, to));
  if (auto primary = find_primary(group->cluster, group->secrets, group->balancer); primary.ok()) {
    return Error(Code::kNotReady, primary->name + " leads " + group->balancer.name + " and answers")
        .with("changed", "nothing")
        .with("try", "pgbalancer_cluster switchover");
  }
  auto from = leader_of(*group);
  if (!from.ok()) return std::move(from).error();
  PGB_TRY(leave_request(*group, "failover", to, force));
  session.tell(group->balancer.name, Event::State::kRunning, "electing");
  auto change = wait_for_change(session, *group, *from);
  if (change.ok()) session.log_event("failover of " + group->balancer.name + " to " + change->to);
  return change;
}

Result<std::vector<Change>> history(Session& session, const std::string& balancer) {
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  return read_history(*group);
}

}  // namespace pgb::cluster
