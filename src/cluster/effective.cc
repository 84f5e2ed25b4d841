#include "cluster/effective.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/strings.h"

namespace pgb::cluster {

using model::Balancer;
using model::Cluster;
using model::Node;

Cluster with_extra_replicas(Cluster wanted, const Cluster& recorded, std::vector<std::string>* extras) {
  for (const Balancer& old : recorded.balancers) {
    Balancer* balancer = wanted.find_balancer(old.name);
    if (balancer == nullptr) continue;
    for (const Node& node : old.replicas) {
      const bool named = std::any_of(balancer->replicas.begin(), balancer->replicas.end(),
                                     [&](const Node& one) { return one.name == node.name; });
      if (named) continue;
      balancer->replicas.push_back(node);
      if (extras != nullptr) extras->push_back(node.name);
    }
  }
  return wanted;
}

namespace {

struct Taken {
  std::set<std::string> names, addresses;
  std::set<uint16_t> ports;
};

Taken taken_in(const Cluster& cluster) {
  Taken taken;
  for (const Balancer& balancer : cluster.balancers) {
    taken.names.insert({balancer.name, balancer.container_name});
    taken.addresses.insert(balancer.ip_address);
    taken.ports.insert({balancer.port, balancer.pcp_port, balancer.rest_api_port});
    for (const Node& node : balancer.nodes()) {
      taken.names.insert({node.name, node.container_name});
      taken.addresses.insert(node.ip_address);
      taken.ports.insert(node.port);
    }
  }
  return taken;
}

std::string next_address(const std::string& after, const std::set<std::string>& taken) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (std::sscanf(after.c_str(), "%u.%u.%u.%u", &a, &b, &c, &d) != 4) return after;
  uint32_t address = (a << 24) | (b << 16) | (c << 8) | d;
  for (;;) {
    ++address;
    const unsigned last = address & 255;
    if (last == 0 || last == 255) continue;
    std::string text = std::to_string(address >> 24) + "." + std::to_string((address >> 16) & 255) + "." +
                       std::to_string((address >> 8) & 255) + "." + std::to_string(last);
    if (taken.count(text) == 0) return text;
  }
}

// "replica2" with number 3 is "replica3"; another style of names gets "<balancer>_replica3".
std::string next_name(const Balancer& balancer, int id, const std::set<std::string>& taken) {
  std::string stem = balancer.replicas.empty() ? "replica" : balancer.replicas.back().name;
  stem.erase(stem.find_last_not_of("0123456789") + 1);
  if (stem.empty()) stem = "replica";
  for (int number = id;; ++number) {
    for (const std::string& name :
         {stem + std::to_string(number), balancer.name + "_" + stem + std::to_string(number)}) {
      if (taken.count(name) == 0) return name;
    }
  }
}

}  // namespace

Node next_replica(const Cluster& cluster, const Balancer& balancer, const std::set<uint16_t>& taken_ports) {
  Taken taken = taken_in(cluster);
  taken.ports.insert(taken_ports.begin(), taken_ports.end());
  Node node;
  node.role = model::Role::kReplica;
  const Node& last = balancer.replicas.empty() ? balancer.primary : balancer.replicas.back();
  for (const Node& replica : balancer.replicas) node.node_id = std::max(node.node_id, replica.node_id);
  ++node.node_id;
  node.name = next_name(balancer, node.node_id, taken.names);
  node.container_name = node.name;
  node.ip_address = next_address(last.ip_address, taken.addresses);
  node.port = last.port;
  while (taken.ports.count(node.port) != 0) ++node.port;
  return node;
}

}  // namespace pgb::cluster
