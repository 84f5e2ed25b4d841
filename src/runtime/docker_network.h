// The network that the units of a cluster share in an engine, and who is on it.
#pragma once

#include "runtime/docker_client.h"

namespace pgb::runtime {

// As the cluster file says, unless it is there. kSubnetInUse, kNameInUse: what is there is another.
Status make_network(const DockerClient& client, const model::Cluster& cluster, Deadline deadline);

// kNotReady: there is none yet.
Result<DockerNetwork> own_network(const DockerClient& client, const std::string& cluster, Deadline deadline);

bool is_on(const DockerContainer& container, const DockerNetwork& network);

// None of the cluster reaches the container any more, nor it them; it runs on, and stays on networks that somebody else
// has given it. It is not on the cluster's: success.
Status leave_own_network(const DockerClient& client, const std::string& cluster, const DockerContainer& container,
                         Deadline deadline);

// With the address and names that the unit has there; is it there: success.
Status join_own_network(const DockerClient& client, const UnitSpec& unit, const DockerContainer& container,
                        Deadline deadline);

}  // namespace pgb::runtime
