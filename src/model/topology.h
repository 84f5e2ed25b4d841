// What a cluster file says, with every default filled in: values only. Where the defaults and the
// rules stand: topology_json.cc.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "model/pool_config.h"

namespace pgb::model {

enum class RuntimeKind { kAuto, kDocker, kProcess };
enum class Role { kPrimary, kReplica };
enum class Durability { kAsync, kQuorum, kStrict };

std::string_view to_string(RuntimeKind kind);       // "auto", "docker", "process"
std::string_view to_string(Role role);              // "primary", "replica"
std::string_view to_string(Durability durability);  // "async", "quorum", "strict"

// One PostgreSQL server.
struct Node {
  int node_id = 0;             // 0 is the primary; replicas count from 1, unique in their balancer
  std::string name;            // "host" in the file: its host name, unique in the cluster
  std::string container_name;  // default: the name
  std::string ip_address;      // inside network.subnet; assigned if the file has none
  uint16_t port = 0;           // published port; assigned if the file has none
  Role role = Role::kReplica;  // at init; who is what later is asked, not read here
  double weight = 1;

  bool operator==(const Node&) const = default;
};

struct BalancerConfig {
  int num_init_children = 0;      // as in the file; 0: not given. What follows from it stands in the pool:
  int max_pool = 4;               // its max_clients and pool_size
  bool load_balance_mode = true;  // send reads to replicas
  PoolConfig pool;
  std::vector<PoolEntry> pools;  // what is different for some
  std::string tls_cert_file;     // both or none; relative to the cluster file
  std::string tls_key_file;
  std::string tls_mode = "allow";         // disable, allow, require
  std::string tls_client_certs = "none";  // none, optional
  std::string tls_ca_file;                // with optional
  bool rest_tls = false;                  // the REST port speaks TLS, with that certificate
  std::string hba_file;                   // empty: everyone logs in by SCRAM-SHA-256
  std::vector<std::string> admin_users;   // beside the superuser: who gives commands to the balancer
  std::vector<std::string> stats_users;   // and who may look at it
  std::string pcp_version = "4.4";        // whose pcp_* clients it answers: 4.3, 4.4 (and all later ones)

  bool operator==(const BalancerConfig&) const = default;
};

// A balancer and the group of servers behind it.
struct Balancer {
  std::string name;
  std::string container_name;
  std::string ip_address;
  uint16_t port = 0;
  uint16_t pcp_port = 0;
  uint16_t rest_api_port = 0;
  BalancerConfig config;
  Node primary;
  std::vector<Node> replicas;

  std::vector<Node> nodes() const;  // the primary, then the replicas
  bool operator==(const Balancer&) const = default;
};

// Where a password comes from. Generated if it is none of the three.
struct PasswordSource {
  enum class Kind { kGenerated, kLiteral, kEnv, kFile } kind = Kind::kGenerated;
  Secret literal;
  std::string name;  // of the variable or the file (relative to the cluster file)
  bool operator==(const PasswordSource&) const = default;
};

// Who an etcd cluster has to be, and who we are there. Paths are relative to the cluster file; empty: none is given.
struct EtcdAccess {
  std::string ca_file, cert_file, key_file;
  std::string user;
  PasswordSource password;  // kGenerated: none
  bool operator==(const EtcdAccess&) const = default;
};

struct Postgres {
  std::string image = "postgres:17";
  std::string bin_dir;  // empty: the newest found
  std::string database = "testdb";
  std::string superuser = "postgres";
  PasswordSource password;
  std::string replication_user = "replicator";
  PasswordSource replication_password;
  std::map<std::string, std::string> parameters;  // defaults merged with the file's
  std::vector<std::string> init_sql;              // as in the file: relative to it
  bool operator==(const Postgres&) const = default;
};

struct Network {
  std::string name;    // default: <cluster_name>_net
  std::string subnet;  // default: 172.31.0.0/16
  bool operator==(const Network&) const = default;
};

// How eagerly a group watches its leader, and what it may lose with it. Times in seconds.
struct Ha {
  bool failover = true;  // agents choose the primary; else roles stay as in the file, and replication is asynchronous
  double lease = 3;      // a leader that cannot renew it for so long has lost it
  uint64_t lag_limit = 16 << 20;  // bytes of WAL that a failover may lose where durability is async
  bool operator==(const Ha&) const = default;
};

// What a file means that says nothing of it, where that is not the same for all.
struct Defaults {
  bool failover = true;  // a cluster that stands goes on as it was made
  std::string pcp_version = "4.4";
};

struct Cluster {
  std::string cluster_name;
  Network network;
  RuntimeKind runtime = RuntimeKind::kAuto;
  std::string bind_address = "127.0.0.1";
  Postgres postgres;
  Durability durability = Durability::kQuorum;
  bool protect = false;
  std::vector<Balancer> balancers;
  Ha ha;
  std::vector<std::string> dcs_etcd;  // URLs of an etcd cluster; empty: the embedded store
  EtcdAccess dcs_access;              // to these

  std::vector<std::string> unit_names() const;  // of all servers and balancers, in the order of the file
  // Null if there is none of that name. Owned by the cluster.
  const Balancer* find_balancer(std::string_view name) const;
  Balancer* find_balancer(std::string_view name);
  // What holds for one group: quorum needs two replicas and strict one, a smaller group is async; so is each without
  // failover.
  Durability durability_of(const Balancer& balancer) const;
  // Whether each balancer keeps its group's lease store.
  bool keeps_stores() const { return ha.failover && dcs_etcd.empty(); }
  bool operator==(const Cluster&) const = default;
};

}  // namespace pgb::model
