// The balancer's configuration file: written by the cluster manager, or by hand where the balancer runs alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "control/pcp_users.h"
#include "control/user_list.h"
#include "http/client.h"
#include "model/pool_config.h"
#include "proxy/hba_rules.h"
#include "proxy/settings.h"
#include "proxy/topology_snapshot.h"

namespace pgb::control {

struct BalancerConfig {
  struct Node {
    std::string name;  // default: host:port
    std::string host;
    uint16_t port = 5432;
    double weight = 1;     // its share of the reads
    std::string tls_host;  // the name that its certificate must have; default: host
    std::string agent_host;
    uint16_t agent_port = 0;  // 0: there is no agent
    bool operator==(const Node&) const = default;
  };

  std::string group = "pgbalancer";
  std::string listen_address = "0.0.0.0";
  uint16_t port = 9999;
  std::string rest_address = "127.0.0.1";
  uint16_t rest_port = 0;                // default: 8080 if there is a token; 0: no REST interface
  bool rest_tls = false;                 // with the certificate for clients
  bool rest_local_reads = true;          // at a loopback rest_address nobody needs a token to look
  Secret token;                          // of operators
  Secret stats_token;                    // of those who may only look; empty: there is none
  std::vector<std::string> admin_users;  // of the console: who gives commands
  std::vector<std::string> stats_users;  // and who may only look
  std::string pcp_address = "127.0.0.1";
  uint16_t pcp_port = 0;            // of pgpool-II's pcp_* commands; 0: none
  std::string pcp_users_file;       // in the manner of pcp.conf; relative to the configuration file
  PcpUsers pcp_users;               // what stands in it
  std::string pcp_version = "4.4";  // whose clients' way of reading a node's state is followed
  model::PoolConfig pool;
  std::vector<model::PoolEntry> pools;
  bool read_write_split = true;
  bool log_connections = false;
  std::string log_format = "text";
  std::string log_file;         // empty: standard error; relative to the configuration file, like the next two
  std::string takeover_socket;  // where another process may take over; empty: nowhere
  std::string pid_file;
  double takeover_timeout = 0;   // seconds for sessions to end after that; 0: any time
  double shutdown_timeout = 60;  // seconds for transactions to end at a shutdown that waits; 0: any time
  std::string auth_user = "pgbalancer";
  Secret auth_password;
  std::vector<User> users;  // from the file's list, then from users_file; every name once
  std::string users_file;   // relative to the configuration file
  std::string hba_file;     // relative to the configuration file
  proxy::HbaRulesPtr hba;   // what stands in it; null without one
  std::string auth_query;   // asks a server for the secret of the user $1; run as auth_user
  std::string tls_mode = "allow";
  std::string tls_cert_file;
  std::string tls_key_file;
  std::string tls_client_certs = "none";
  std::string tls_ca_file;
  std::string server_tls = "disable";
  std::string server_tls_ca_file;
  std::string server_tls_cert_file;
  std::string server_tls_key_file;
  std::vector<Node> nodes;
  Secret agent_token;
  std::string store_dir;  // of the embedded lease store, relative to the configuration file; empty: none runs here
  std::string store_address = "127.0.0.1";
  uint16_t store_port = 2379;
  Secret store_password;
  std::vector<std::string> etcd;  // URLs of the etcd in which the agents choose the primary; empty: it is not asked
  std::string etcd_user;          // who we are there; empty: nobody
  Secret etcd_password;
  http::TlsTexts etcd_tls;
  std::string cluster;  // that the group belongs to, which is also its name in the lease store; empty: none
  std::optional<uint32_t> run_as_user;  // numeric ids; only used when started as root
  std::optional<uint32_t> run_as_group;

  // Every node with unknown role and health.
  proxy::TopologySnapshot topology() const;
  proxy::PoolSettings pool_settings() const;
  bool holds_secrets() const;
};

using ConfigPtr = std::shared_ptr<const BalancerConfig>;

// kConfig with one detail line for every mistake, each naming its key: "nodes[0].port". Pure: users_file
// and hba_file are only named, not read.
Result<BalancerConfig> parse_balancer_config(std::string_view text);

// Reads and parses the file, its users_file and its hba_file; kConfigUnreadable if one cannot be read, or holds
// secrets and others than its owner may read it.
Result<BalancerConfig> load_balancer_config(const std::string& path);

}  // namespace pgb::control
