#include "runtime/docker_network.h"

#include <algorithm>

#include "runtime/docker_spec.h"

namespace pgb::runtime {

Status make_network(const DockerClient& client, const model::Cluster& cluster, Deadline deadline) {
  const std::string& name = cluster.network.name;
  auto own = client.list_networks({label_is(kLabelCluster, cluster.cluster_name)}, deadline);
  if (!own.ok()) return std::move(own).error();
  for (const DockerNetwork& network : *own) {
    bool same =
        std::find(network.subnets.begin(), network.subnets.end(), cluster.network.subnet) != network.subnets.end();
    if (network.name == name && same) return {};
    return Error(Code::kSubnetInUse, "the cluster's network is " + network.name + " (" +
                                         (network.subnets.empty() ? "no subnet" : network.subnets.front()) +
                                         "), the cluster file says " + name + " (" + cluster.network.subnet + ")")
        .with("try", "change the cluster file back, or destroy the cluster before its network changes");
  }
  auto foreign = client.inspect_network(name, deadline);
  if (!foreign.ok()) return std::move(foreign).error();
  if (foreign->has_value() && (*foreign)->name == name) {
    return Error(Code::kNameInUse, "a network " + name + " exists and is not of this cluster")
        .with("try", "remove it, or give another network.name in the cluster file");
  }
  return client.create_network(name, cluster.network.subnet, {{kLabelCluster, cluster.cluster_name}}, deadline);
}

Result<DockerNetwork> own_network(const DockerClient& client, const std::string& cluster, Deadline deadline) {
  auto networks = client.list_networks({label_is(kLabelCluster, cluster)}, deadline);
  if (!networks.ok()) return std::move(networks).error();
  if (networks->empty()) return Error(Code::kNotReady, "the cluster has no network yet").with("try", "init again");
  return std::move(networks->front());
}

bool is_on(const DockerContainer& container, const DockerNetwork& network) {
  const auto& all = container.networks;
  return std::find(all.begin(), all.end(), network.name) != all.end();
}

Status leave_own_network(const DockerClient& client, const std::string& cluster, const DockerContainer& container,
                         Deadline deadline) {
  auto network = own_network(client, cluster, deadline);
  if (!network.ok()) return std::move(network).error();
  if (!is_on(container, *network)) return {};
  return client.leave_network(network->name, container.id, deadline);
}

Status join_own_network(const DockerClient& client, const UnitSpec& unit, const DockerContainer& container,
                        Deadline deadline) {
  auto network = own_network(client, unit.cluster, deadline);
  if (!network.ok()) return std::move(network).error();
  if (is_on(container, *network)) return {};
  return client.join_network(network->name, container.id, endpoint_spec(unit), deadline);
}

}  // namespace pgb::runtime
