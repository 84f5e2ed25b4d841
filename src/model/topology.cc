#include "model/topology.h"

namespace pgb::model {

std::string_view to_string(RuntimeKind kind) {
  switch (kind) {
    case RuntimeKind::kAuto: return "auto";
    case RuntimeKind::kDocker: return "docker";
    case RuntimeKind::kProcess: return "process";
  }
  return "auto";
}

std::string_view to_string(Role role) { return role == Role::kPrimary ? "primary" : "replica"; }

std::string_view to_string(Durability durability) {
  if (durability == Durability::kStrict) return "strict";
  return durability == Durability::kQuorum ? "quorum" : "async";
}

std::vector<Node> Balancer::nodes() const {
  std::vector<Node> all{primary};
  all.insert(all.end(), replicas.begin(), replicas.end());
  return all;
}

std::vector<std::string> Cluster::unit_names() const {
  std::vector<std::string> names;
  for (const auto& balancer : balancers) {
    names.push_back(balancer.name);
    for (const auto& node : balancer.nodes()) names.push_back(node.name);
  }
  return names;
}

const Balancer* Cluster::find_balancer(std::string_view name) const {
  for (const auto& balancer : balancers) {
    if (balancer.name == name) return &balancer;
  }
  return nullptr;
}

Balancer* Cluster::find_balancer(std::string_view name) {
  return const_cast<Balancer*>(static_cast<const Cluster*>(this)->find_balancer(name));
}

Durability Cluster::durability_of(const Balancer& balancer) const {
  if (!ha.failover) return Durability::kAsync;
  const size_t needed = durability == Durability::kStrict ? 1 : 2;
  return balancer.replicas.size() >= needed ? durability : Durability::kAsync;
}

}  // namespace pgb::model
