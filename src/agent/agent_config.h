// The agent's orders, written by the cluster manager before the agent starts: agent.json (0600), and, where the agents
// of a group choose the primary, group.json beside it, which holds no secret and is read again while the agent runs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "http/client.h"

namespace pgb::agent {

// A server of the group and its agent, as the others reach them.
struct Member {
  std::string name;
  std::string host;
  uint16_t port = 0;
  std::string agent_host;
  uint16_t agent_port = 0;
  std::string slot;  // its replication slot on whoever leads
  bool operator==(const Member&) const = default;
};

struct AgentConfig {
  std::string cluster;
  std::string name;
  bool primary = false;
  std::string data_dir;     // PGDATA; the directory above it holds our own state file
  std::string bin_dir;      // empty: the newest PostgreSQL on the machine
  std::string run_as_user;  // empty: stay who we are; else the user root becomes
  std::string config_dir;   // where agent.json stands; init files are relative to it

  std::string listen_address;  // PostgreSQL's listen_addresses
  uint16_t port = 5432;
  std::string agent_address;
  uint16_t agent_port = 8008;
  Secret token;

  std::string superuser, database, replication_user;
  Secret superuser_password, replication_password;
  Secret agent_password;     // role pgbalancer_agent
  Secret balancer_password;  // role pgbalancer
  std::map<std::string, std::string> parameters;
  std::vector<std::string> init_sql;  // names in config_dir
  // Their texts, read together with agent.json: once root is given up they may be out of reach. Nothing for one that is
  // not there: only who makes the database needs it.
  std::vector<std::optional<std::string>> init_texts;

  std::string primary_host;  // replicas only
  uint16_t primary_port = 0;
  std::string slot;

  // With a lease store the agents of the group choose the primary; without, it is the one that `primary` says.
  std::string group;
  std::vector<std::string> store_endpoints;
  std::string store_user;
  Secret store_password;
  http::TlsTexts store_tls;
  std::vector<Member> members;       // self among them
  std::string durability = "async";  // "async", "quorum", "strict"
  double lease = 3;                  // seconds
  uint64_t lag_limit = 16 << 20;     // bytes that a failover may lose in async
  bool has_store() const { return !store_endpoints.empty(); }
  const Member* find_member(const std::string& member) const;  // null if there is none

  // Where the agent reaches its own server.
  std::string local_host() const;
};

// Both files. kConfigUnreadable, or kConfig naming the key.
Result<AgentConfig> load_agent_config(const std::string& file);
std::string to_json(const AgentConfig& config);        // agent.json
std::string to_group_json(const AgentConfig& config);  // group.json

// Takes over what group.json in config.config_dir says by now; on failure nothing is changed.
Status reload_group(AgentConfig& config);

}  // namespace pgb::agent
