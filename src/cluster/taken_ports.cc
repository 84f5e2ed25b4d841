#include "cluster/taken_ports.h"

#include <functional>

#include "model/json_document.h"
#include "os/file.h"
#include "runtime/ports.h"

namespace pgb::cluster {
namespace {

using model::Balancer;
using model::Cluster;
using runtime::Obstacle;

// Calls visit(unit, key, port) for every published port.
template <class AnyCluster, class Visit>
void each_port(AnyCluster& cluster, const Visit& visit) {
  for (size_t i = 0; i < cluster.balancers.size(); ++i) {
    auto& balancer = cluster.balancers[i];
    const std::string group = "balancers[" + std::to_string(i) + "].";
    visit(balancer.name, group + "port", balancer.port);
    visit(balancer.name, group + "rest_api_port", balancer.rest_api_port);
    visit(balancer.name, group + "pcp_port", balancer.pcp_port);
    visit(balancer.primary.name, group + "primary.port", balancer.primary.port);
    for (size_t k = 0; k < balancer.replicas.size(); ++k) {
      visit(balancer.replicas[k].name, group + "replicas[" + std::to_string(k) + "].port", balancer.replicas[k].port);
    }
  }
}

std::string where_needed(const Session& session, const Obstacle& obstacle) {
  const std::string key = port_key(session.wanted, obstacle.unit, obstacle.port);
  if (key.empty()) return obstacle.unit + ", which was added later";
  const std::string& file = session.options.file;
  const auto text = file == "-" ? Result<std::string>(std::string()) : os::read_file(file);
  const auto place = text.ok() ? model::place_of(*text, key) : std::nullopt;
  if (!place) return key + ", by default";
  return key + ", " + file + ":" + std::to_string(place->line) + ":" + std::to_string(place->column);
}

uint16_t next_free(const std::string& address, uint16_t after, const std::set<uint16_t>& avoid) {
  for (unsigned port = after + 1u; port <= 65535; ++port) {
    const auto candidate = static_cast<uint16_t>(port);
    if (avoid.count(candidate) == 0 && runtime::check_port_free(address, candidate).ok()) return candidate;
  }
  return 0;
}

std::string suggestion(const Session& session, const std::vector<Obstacle>& obstacles) {
  Cluster copy = session.wanted;
  std::set<uint16_t> avoid = ports_of(copy);
  std::string free;
  const auto changes = take_free_ports(copy, obstacles, avoid);
  for (size_t i = 0; i < changes.size(); ++i) {
    free += (i == 0 ? "" : i + 1 == changes.size() ? " and " : ", ") + std::to_string(changes[i].to);
  }
  if (free.empty() || session.options.file == "-") return "give other ports in the cluster file";
  return free + (changes.size() == 1 ? " is" : " are") + " free: pgbalancer_cluster init --set-free-ports --config " +
         session.options.file;
}

Error explain_ports(const Session& session, const std::vector<Obstacle>& taken) {
  Error error(Code::kPortInUse, taken.size() == 1 ? "port " + std::to_string(taken[0].port) + " is taken"
                                                  : std::to_string(taken.size()) + " ports are taken");
  for (const Obstacle& one : taken) {
    error.with(std::to_string(one.port), "needed by " + where_needed(session, one) + "\nheld by " + one.held_by);
  }
  return error;
}

}  // namespace

std::string port_key(const Cluster& cluster, const std::string& unit, uint16_t port) {
  std::string found;
  each_port(cluster, [&](const std::string& name, const std::string& key, uint16_t value) {
    if (name == unit && value == port) found = key;
  });
  return found;
}

std::set<uint16_t> ports_of(const Cluster& cluster) {
  std::set<uint16_t> ports;
  each_port(cluster, [&](const std::string&, const std::string&, uint16_t port) { ports.insert(port); });
  return ports;
}

std::vector<PortChange> take_free_ports(Cluster& cluster, const std::vector<Obstacle>& obstacles,
                                        std::set<uint16_t>& avoid) {
  std::vector<PortChange> changes;
  for (const Obstacle& one : obstacles) avoid.insert(one.port);
  each_port(cluster, [&](const std::string& unit, const std::string& key, uint16_t& port) {
    for (const Obstacle& one : obstacles) {
      if (one.port == 0 || one.unit != unit || one.port != port) continue;
      const uint16_t free = next_free(cluster.bind_address, port, avoid);
      if (free == 0) continue;
      avoid.insert(free);
      changes.push_back({key, port, free});
      port = free;
      break;
    }
  });
  return changes;
}

Error explain_obstacles(const Session& session, const std::vector<Obstacle>& obstacles) {
  std::vector<Obstacle> taken, others;
  for (const Obstacle& one : obstacles) (one.port != 0 ? taken : others).push_back(one);
  Error error = taken.empty() ? Error(others[0]) : explain_ports(session, taken);
  for (size_t i = taken.empty() ? 1 : 0; i < others.size(); ++i) {
    error.with("also", others[i].message);
    for (auto& [label, text] : others[i].details) error.with(label, text);
  }
  error.with("changed", "nothing");
  return taken.empty() ? error : error.with("try", suggestion(session, taken));
}

}  // namespace pgb::cluster
