// What the control surfaces may see of the proxy and do with it. Every call is thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>

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
  // Changes the limit for clients to come.
  virtual void set_max_clients(unsigned count) = 0;
  virtual uint16_t port() const = 0;
};

}  // namespace pgb::proxy
