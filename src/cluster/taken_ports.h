// Ports that somebody else holds: what of the cluster needs them, and free ones in their place.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "cluster/cluster_file.h"
#include "cluster/session.h"

namespace pgb::cluster {

// Where the cluster file gives this port of a server or balancer: "balancers[0].primary.port". Empty if it does not.
std::string port_key(const model::Cluster& cluster, const std::string& unit, uint16_t port);

// All obstacles as one error, taken ports first, each with the file's line that needs it and who holds it; ends with
// "changed: nothing".
Error explain_obstacles(const Session& session, const std::vector<runtime::Obstacle>& obstacles);

// A free port for each taken one that `cluster` gives, in place, and what was changed. `avoid`: not those; the new
// ones and the taken ones are added to it. Only this machine is asked, so the caller looks again.
std::vector<PortChange> take_free_ports(model::Cluster& cluster, const std::vector<runtime::Obstacle>& obstacles,
                                        std::set<uint16_t>& avoid);

// All ports that the cluster gives, whether anything listens there yet or not.
std::set<uint16_t> ports_of(const model::Cluster& cluster);

}  // namespace pgb::cluster
