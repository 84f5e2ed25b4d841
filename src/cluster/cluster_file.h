// The user's own cluster file, changed in place: its order, its other keys, its mode and its owner stay. Spaces and
// line breaks do not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/topology.h"

namespace pgb::cluster {

struct PortChange {
  std::string key;  // "balancers[0].replicas[1].port"
  uint16_t from = 0, to = 0;
};

// Writes the new ports into the file, `cluster` being what it says so far. All or nothing. kConfig, with what to do by
// hand, if it is no file that can be changed.
Status save_ports(const std::string& file, const model::Cluster& cluster, const std::vector<PortChange>& changes);

// Adds the replicas to the balancer's list. All or nothing; kConfig as above.
Status save_replicas(const std::string& file, const std::string& balancer, const std::vector<model::Node>& replicas);

}  // namespace pgb::cluster
