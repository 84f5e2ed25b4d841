// What the control surfaces may see of the proxy and do with it. Every call is thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "proxy/settings.h"
#include "proxy/topology_snapshot.h"

namespace pgb::proxy {

struct Stats {
  double uptime_s = 0;
  uint64_t clients = 0;  // past their startup packet
  uint64_t max_clients = 0;
  uint64_t servers = 0;         // connections to servers
  uint64_t sessions_total = 0;  // that ever reached a server
  uint64_t refused_total = 0;   // logins that were refused, for whatever reason
  uint64_t bytes_from_clients = 0;
  uint64_t bytes_from_servers = 0;
  uint64_t transactions = 0;  // servers given back to their pool
  uint64_t to_primary = 0;    // requests, by where they were routed
  uint64_t to_replicas = 0;
  uint64_t waits = 0;          // requests that found no free server
  uint64_t pins = 0;           // sessions that were bound to their server
  uint64_t server_parses = 0;  // prepared statements made on servers
  struct Node {
    uint64_t servers = 0;
    uint64_t sessions_total = 0;
  };
  std::map<std::string, Node> nodes;  // by name; those that were ever connected to
};

class Admin {
 public:
  virtual ~Admin() = default;
  virtual Stats stats() const = 0;
  virtual TopologyPtr topology() const = 0;
  // Hands over a new topology: sessions that wait for a primary go on, others are not disturbed.
  virtual void apply(TopologyPtr snapshot) = 0;
  // Changes limits and modes; connections that exist are not disturbed.
  virtual void set_pool(const PoolSettings& settings) = 0;
  virtual uint16_t port() const = 0;
};

}  // namespace pgb::proxy
