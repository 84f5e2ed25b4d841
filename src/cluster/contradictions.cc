#include "cluster/contradictions.h"

#include <algorithm>

namespace pgb::cluster {

Error contradiction(const std::string& what, const std::string& back) {
  return Error(Code::kConfig, what)
      .with("changed", "nothing")
      .with("try", back)
      .with("or", "pgbalancer_cluster destroy, then init: all data goes");
}

namespace {

// Roles and groups are the cluster's by now: a file that turns them round would make a second primary beside the
// first.
Status check_roles(const model::Cluster& wanted, const model::Cluster& recorded) {
  for (const model::Balancer& old : recorded.balancers) {
    const model::Balancer* now = wanted.find_balancer(old.name);
    if (now == nullptr) {
      return contradiction("balancer " + old.name + " is part of the cluster, but not in the file",
                           "put it back into the file");
    }
    if (now->primary.name == old.primary.name) continue;
    return contradiction(
        old.primary.name + " is the primary of " + old.name + "; the file makes it " + now->primary.name,
        "make " + old.primary.name + " the primary in the file");
  }
  return {};
}

bool is_idle(const UnitMap& existing) {
  return std::none_of(existing.begin(), existing.end(),
                      [](const auto& unit) { return unit.second.state == runtime::UnitState::kRunning; });
}

Error stop_first(const std::string& what) {
  return Error(Code::kConfig, what + " has changed in the file while the cluster runs")
      .with("changed", "nothing")
      .with("try", "pgbalancer_cluster stop, then init: the data stays");
}

// Agents that choose the primary and agents that do not must never meet in one group. Once they have chosen, the
// file's roles are history.
Status check_failover(const model::Cluster& wanted, const model::Cluster& recorded, const UnitMap& existing) {
  if (wanted.ha.failover == recorded.ha.failover) {
    if (!wanted.ha.failover || is_idle(existing)) return {};
    if (wanted.dcs_etcd != recorded.dcs_etcd) return stop_first("\"dcs\"");  // one group, one store
    const bool same = wanted.ha.lease == recorded.ha.lease;                  // one that runs was granted for its time
    return same ? Status() : stop_first("\"ha\": {\"lease\"}");
  }
  if (recorded.ha.failover) {
    return contradiction(
        "the agents choose the primary by now, who need not be the file's; \"ha\": {\"failover\": false} is for new "
        "clusters",
        "take it out of the file; to keep roles as they are for a while: pgbalancer_cluster pause");
  }
  return is_idle(existing) ? Status() : stop_first("\"ha\": {\"failover\"}");
}

// Servers, their agents and the balancers know each other's addresses from their start on.
Status check_addresses(const model::Cluster& wanted, const model::Cluster& recorded, const UnitMap& existing) {
  if (is_idle(existing)) return {};
  if (wanted.bind_address != recorded.bind_address) return stop_first("bind_address");
  for (const model::Balancer& old : recorded.balancers) {
    const model::Balancer* now = wanted.find_balancer(old.name);
    if (now == nullptr) continue;
    if (now->port != old.port || now->rest_api_port != old.rest_api_port || now->pcp_port != old.pcp_port ||
        now->ip_address != old.ip_address) {
      return stop_first("a port or the address of " + old.name);
    }
    for (const model::Node& node : now->nodes()) {
      for (const model::Node& before : old.nodes()) {
        if (node.name != before.name || (node.port == before.port && node.ip_address == before.ip_address)) continue;
        return stop_first("the port or address of " + node.name);
      }
    }
  }
  return {};
}

}  // namespace

Status check_against_record(const model::Cluster& wanted, const model::Cluster& recorded, const UnitMap& existing) {
  PGB_TRY(check_roles(wanted, recorded));
  PGB_TRY(check_failover(wanted, recorded, existing));
  return check_addresses(wanted, recorded, existing);
}

}  // namespace pgb::cluster
