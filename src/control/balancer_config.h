// The balancer's configuration file, written by the cluster manager.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "proxy/topology_snapshot.h"

namespace pgb::control {

struct BalancerConfig {
  struct Node {
    std::string name;
    std::string host;
    uint16_t port = 5432;
    std::string agent_host;
    uint16_t agent_port = 0;  // 0: there is no agent
    bool operator==(const Node&) const = default;
  };

  std::string group;
  std::string listen_address = "0.0.0.0";
  uint16_t port = 9999;
  std::string rest_address = "127.0.0.1";
  uint16_t rest_port = 8080;  // 0: no REST interface
  Secret token;
  unsigned max_clients = 64;
  std::string auth_user = "pgbalancer";
  Secret auth_password;
  unsigned threads = 0;  // 0: one a core
  std::string tls_cert_file;
  std::string tls_key_file;
  std::vector<Node> nodes;
  Secret agent_token;
  std::optional<uint32_t> run_as_user;  // numeric ids; only used when started as root
  std::optional<uint32_t> run_as_group;

  // Every node with unknown role and health.
  proxy::TopologySnapshot topology() const;
};

// kConfig with one detail line for every mistake, each naming its key: "nodes[0].port".
Result<BalancerConfig> parse_balancer_config(std::string_view text);

// Reads and parses the file; kConfigUnreadable if it cannot be read or others than its owner may read it.
Result<BalancerConfig> load_balancer_config(const std::string& path);

}  // namespace pgb::control
