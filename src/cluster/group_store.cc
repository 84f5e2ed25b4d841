#include "cluster/group_store.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "cluster/time_text.h"
#include "dcs/etcd_client.h"

namespace pgb::cluster {

using dcs::Op;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr milliseconds kCall{2000};

json object_of(const dcs::OpResult& result) {
  if (result.kvs.empty()) return json::object();
  json doc = json::parse(result.kvs[0].value, nullptr, false);
  return doc.is_object() ? doc : json::object();
}

// A value of another kind than ours counts as none.
template <class T>
T value_of(const json& doc, const char* key, T none) {
  const auto found = doc.find(key);
  if (found == doc.end()) return none;
  try {
    return found->get<T>();
  } catch (const json::exception&) {
    return none;
  }
}

Error no_failover(const std::string& balancer) {
  return Error(Code::kNotReady, balancer + " keeps no lease store: its agents do not choose a primary")
      .with("changed", "nothing")
      .with("try",
            "pgbalancer_cluster stop, \"ha\": {\"failover\": true} in the cluster file, then init: the data stays");
}

Error no_store_now(const std::string& balancer, bool exists) {
  const std::string what = exists ? " does not run" : " is not there";
  return Error(Code::kNotReady, balancer + what + ", and with it the lease store in which its agents agree")
      .with("changed", "nothing")
      .with("try", "pgbalancer_cluster " + (exists ? "start " + balancer : "init"));
}

// Empty: the unit that keeps the store is not there, or does not run.
std::vector<std::string> endpoints_of(const model::Cluster& cluster, const model::Balancer& balancer,
                                      const UnitMap& units) {
  if (!cluster.dcs_etcd.empty()) return cluster.dcs_etcd;
  const auto unit = units.find(balancer.name);
  if (unit == units.end() || unit->second.state != runtime::UnitState::kRunning) return {};
  const auto port = unit->second.ports.find(kStorePort);
  if (port == unit->second.ports.end()) return {};
  return {"http://" + reachable_host(cluster) + ":" + std::to_string(port->second)};
}

// What its client says, of whom, and where to look.
Error not_answered(const Group& group, Error error) {
  const std::string& name = group.balancer.name;
  if (dcs::outcome_of(error) == dcs::Outcome::kNotExecuted) error = std::move(error).with("changed", "nothing");
  return std::move(error)
      .in("lease store of " + name)
      .with("try",
            group.cluster.dcs_etcd.empty() ? "pgbalancer_cluster restart " + name : "see to the etcd of dcs.etcd");
}

}  // namespace

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
  auto units = existing_units(session, Deadline::after(seconds(30)));
  if (!units.ok()) return std::move(units).error();
  return group_of(*cluster, *secrets, *balancer, *units);
}

Result<Group> group_of(const model::Cluster& cluster, const Secrets& secrets, const model::Balancer& balancer,
                       const UnitMap& units) {
  if (!cluster.ha.failover) return no_failover(balancer.name);
  dcs::EtcdSettings settings;
  settings.endpoints = endpoints_of(cluster, balancer, units);
  if (settings.endpoints.empty()) return no_store_now(balancer.name, units.contains(balancer.name));
  settings.user = cluster.dcs_etcd.empty() ? "pgbalancer" : cluster.dcs_access.user;
  settings.password = secrets.store_password;
  settings.tls = {secrets.store_ca, secrets.store_cert, secrets.store_key};
  auto store = dcs::make_etcd_client(std::move(settings));
  if (!store.ok()) return std::move(store).error();
  dcs::Keys keys(cluster.cluster_name, balancer.name);
  return Group{cluster, secrets, balancer, std::move(*store), std::move(keys)};
}

Result<GroupState> read_state(Group& group, Deadline deadline) {
  const dcs::Keys& keys = group.keys;
  dcs::Txn txn;
  for (const std::string& key :
       {keys.leader(), keys.epoch(), keys.sync(), keys.transfer(), keys.failover(), keys.paused()}) {
    txn.then.push_back(Op::get({key, false}));
  }
  auto answer = group.store->txn(txn, deadline);
  if (!answer.ok()) return not_answered(group, std::move(answer).error());
  if (answer->results.size() != txn.then.size()) {
    return Error(Code::kProtocol, "the lease store of " + group.balancer.name + " does not answer what it was asked");
  }
  const auto& results = answer->results;
  const json leader = object_of(results[0]), epoch = object_of(results[1]), sync = object_of(results[2]);
  GroupState state;
  state.leader = value_of<std::string>(leader, "holder", "");
  state.epoch = value_of<uint64_t>(state.leader.empty() ? epoch : leader, "epoch", 0);
  state.leader_revision = results[0].kvs.empty() ? 0 : results[0].kvs[0].mod_revision;
  state.recorded_leader = value_of<std::string>(sync, "leader", "");
  state.opened = !state.leader.empty() && state.recorded_leader == state.leader &&
                 value_of<uint64_t>(sync, "epoch", 0) == state.epoch;
  state.durability = value_of<std::string>(sync, "durability", "");
  state.members = value_of<std::vector<std::string>>(sync, "members", {});
  state.required = value_of<unsigned>(sync, "required", 0);
  if (!results[3].kvs.empty()) state.transfer = results[3].kvs[0].value;
  if (!results[4].kvs.empty()) state.request = results[4].kvs[0].mod_revision;
  if (!results[5].kvs.empty()) {
    const json pause = object_of(results[5]);
    state.pause = Pause{value_of<std::string>(pause, "since", ""), value_of<std::string>(pause, "by", "")};
  }
  return state;
}

Result<GroupState> read_state(Group& group) { return read_state(group, Deadline::after(kCall)); }

Status check_node(const Group& group, const std::string& node) {
  if (node.empty()) return {};
  std::string known;
  for (const model::Node& one : group.balancer.nodes()) {
    if (one.name == node) return {};
    known += (known.empty() ? "" : ", ") + one.name;
  }
  return Error(Code::kNoNode, group.balancer.name + " has no node " + node)
      .with("known", known)
      .with("changed", "nothing");
}

Result<int64_t> leave_request(Group& group, const char* kind, const std::string& node, bool force) {
  auto left = dcs::leave_request(*group.store, group.keys, {kind, node, force});
  if (left.ok()) return left;
  if (left.error().code != Code::kBusy) return not_answered(group, std::move(left).error());
  return Error(Code::kBusy, "another request to the agents of " + group.balancer.name + " stands")
      .with("changed", "nothing")
      .with("look", "pgbalancer_cluster history");
}

bool withdraw_request(Group& group, int64_t revision) {
  return dcs::withdraw_request(*group.store, group.keys, revision);
}

Result<std::vector<Change>> read_history(Group& group) {
  std::vector<Change> changes;
  auto lines = dcs::read_history(*group.store, group.keys);
  if (!lines.ok()) return not_answered(group, std::move(lines).error());
  for (dcs::HistoryLine& line : *lines) changes.push_back({std::move(line), group.balancer.name});
  return changes;
}

std::optional<Change> answer_to(Group& group, int64_t request) { return last_line(group, {"request"}, request); }

std::optional<Change> last_line(Group& group, const std::vector<std::string>& actions, int64_t after) {
  const auto changes = read_history(group);
  if (!changes.ok()) return std::nullopt;
  const auto found = std::find_if(changes->rbegin(), changes->rend(), [&](const Change& change) {
    return change.revision > after && std::find(actions.begin(), actions.end(), change.action) != actions.end();
  });
  return found == changes->rend() ? std::nullopt : std::optional(*found);
}

dcs::Op history_line(const Group& group, uint64_t epoch, const std::string& action, const std::string& text) {
  return dcs::history_line(group.keys, {utc_now(), "manager", action, epoch, text});
}

}  // namespace pgb::cluster
