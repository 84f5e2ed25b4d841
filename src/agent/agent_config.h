// The agent's orders, written by the cluster manager into agent.json (0600) before the agent starts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace pgb::agent {

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
  // Their texts, read together with agent.json: once root is given up they may be out of reach.
  std::vector<std::string> init_texts;

  std::string primary_host;  // replicas only
  uint16_t primary_port = 0;
  std::string slot;

  // Where the agent reaches its own server.
  std::string local_host() const;
};

// kConfigUnreadable, or kConfig naming the key.
Result<AgentConfig> load_agent_config(const std::string& file);
Result<AgentConfig> parse_agent_config(const std::string& text);
std::string to_json(const AgentConfig& config);

}  // namespace pgb::agent
