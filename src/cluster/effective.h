// The cluster that is to stand: what the file says, and the replicas added since.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "model/topology.h"

namespace pgb::cluster {

// `wanted` with the replicas of `recorded` that it does not name; their names go to `extras`.
model::Cluster with_extra_replicas(model::Cluster wanted, const model::Cluster& recorded,
                                   std::vector<std::string>* extras);

// A replica for the balancer with the next free node id, name, address and ports: one more than the
// greatest in use anywhere in the cluster, so that nothing collides. `taken` are more ports to avoid.
model::Node next_replica(const model::Cluster& cluster, const model::Balancer& balancer,
                         const std::set<uint16_t>& taken = {});

}  // namespace pgb::cluster
