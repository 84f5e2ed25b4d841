// What could stand in the way of making containers: looks, touches nothing.
#pragma once

#include <string>
#include <vector>

#include "model/ipv4.h"
#include "runtime/docker_client.h"
#include "runtime/runtime.h"

namespace pgb::runtime {

struct DockerPreflight {
  const DockerClient& client;
  const std::string& agent_program;     // path
  const std::string& balancer_program;  // path
  bool may_pull;                        // else absent images are obstacles
};

// One Error per obstacle. The host's ports, routes and disk are looked at only if the engine runs on this machine.
std::vector<Obstacle> docker_obstacles(const DockerPreflight& preflight, const model::Cluster& cluster,
                                       const std::vector<UnitSpec>& units, Deadline deadline);

// The lines of /proc/net/route as {interface, subnet}, without the default route.
struct HostRoute {
  std::string interface;
  model::Subnet subnet;
};
std::vector<HostRoute> parse_routes(const std::string& text);

bool overlap(const model::Subnet& a, const model::Subnet& b);

}  // namespace pgb::runtime
