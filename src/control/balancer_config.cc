#include "control/balancer_config.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "base/strings.h"
#include "control/json_fields.h"
#include "model/key_table.h"
#include "model/mistakes.h"

namespace pgb::control {
namespace {

using Mistakes = std::vector<std::string>;

constexpr uint16_t kRestPort = 8080;
constexpr double kMaxWeight = 1000;
constexpr double kMostSeconds = 31536000;

// Calls read(object, prefix) for every object of a list.
template <class Read>
void each_object(const Json& list, const std::string& key, Mistakes& mistakes, Read read) {
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string at = key + "[" + std::to_string(i) + "]";
    if (list[i].is_object()) {
      read(list[i], at + ".");
    } else {
      mistakes.push_back(at + ": must be an object");
    }
  }
}

void read_nodes(const Json* list, BalancerConfig& config, Mistakes& mistakes) {
  if (list == nullptr) return;
  if (!list->is_array() || list->empty()) {
    mistakes.push_back("nodes: must be a list with at least one node");
    return;
  }
  std::set<std::string> names;
  each_object(*list, "nodes", mistakes, [&](const Json& object, const std::string& prefix) {
    BalancerConfig::Node node;
    Fields fields(object, prefix, mistakes);
    fields.text("name", node.name);
    fields.host_or_name("host", node.host, true);
    fields.number("port", node.port, 1, 65535);
    fields.real("weight", node.weight, 0, kMaxWeight);
    fields.text("tls_host", node.tls_host);
    fields.host("agent_host", node.agent_host);
    fields.number("agent_port", node.agent_port, 0, 65535);
    fields.no_others();
    if (node.name.empty() && !node.host.empty()) node.name = node.host + ":" + std::to_string(node.port);
    if (!node.name.empty() && !names.insert(node.name).second) {
      fields.wrong("name", model::shown(node.name) + " is used twice");
    }
    config.nodes.push_back(std::move(node));
  });
}

void read_users(const Json* list, BalancerConfig& config, Mistakes& mistakes) {
  if (list == nullptr) return;
  if (!list->is_array()) {
    mistakes.push_back("users: must be a list of {\"name\", \"password\"}");
    return;
  }
  std::set<std::string> names;
  each_object(*list, "users", mistakes, [&](const Json& object, const std::string& prefix) {
    User user;
    Fields fields(object, prefix, mistakes);
    const size_t before = mistakes.size();
    fields.text("name", user.name, true);
    fields.secret("password", user.secret, true);
    fields.no_others();
    if (mistakes.size() == before) {
      if (const auto wrong = mistake_in_name(user.name); !wrong.empty()) fields.wrong("name", wrong);
      if (const auto wrong = mistake_in_secret(user.secret.reveal()); !wrong.empty()) fields.wrong("password", wrong);
    }
    if (!user.name.empty() && !names.insert(user.name).second) {
      fields.wrong("name", model::shown(user.name) + " is used twice");
    }
    config.users.push_back(std::move(user));
  });
}

// One value of the pooler's, held against the table that the cluster file is held against.
void read_pool_value(Fields& fields, const char* name, const model::Key& key, std::string& out) {
  fields.choice(name, out, key.choices);
}
void read_pool_value(Fields& fields, const char* name, const model::Key& key, double& out) {
  fields.real(name, out, key.min, key.max);
}
template <class Whole>
void read_pool_value(Fields& fields, const char* name, const model::Key& key, Whole& out) {
  fields.number(name, out, static_cast<uint64_t>(key.min), static_cast<uint64_t>(key.max));
}

void read_pool(Fields& fields, model::PoolConfig& pool) {
  model::each_pool_key(pool, [&fields](const char* name, auto& out) {
    if (const model::Key* key = model::pool_keys().find(name)) read_pool_value(fields, name, *key, out);
  });
  const model::PoolConflict conflict = conflict_in(pool);
  if (!conflict.key.empty()) fields.wrong(conflict.key, conflict.text);
}

template <class T>
void read_pool_entry_value(Fields& fields, const char* name, const model::Key& key, std::optional<T>& out) {
  T value{};
  if (fields.find(name, false) == nullptr) return;
  read_pool_value(fields, name, key, value);
  out = std::move(value);
}

void read_pools(const Json* list, BalancerConfig& config, Mistakes& mistakes) {
  if (list == nullptr) return;
  if (!list->is_array()) {
    mistakes.push_back("pools: must be a list of {\"database\", \"user\", …}");
    return;
  }
  each_object(*list, "pools", mistakes, [&](const Json& object, const std::string& prefix) {
    const size_t before = mistakes.size();
    model::PoolEntry& entry = config.pools.emplace_back();
    Fields fields(object, prefix, mistakes);
    fields.text("database", entry.database);
    fields.text("user", entry.user);
    model::each_pool_entry_key(entry, [&fields](const char* name, auto& out) {
      if (const model::Key* key = model::pool_keys().find(name)) read_pool_entry_value(fields, name, *key, out);
    });
    fields.no_others();
    if (mistakes.size() != before) return;
    const model::PoolConflict conflict = conflict_in(config.pool, config.pools, config.pools.size() - 1);
    if (!conflict.key.empty()) fields.wrong(conflict.key, conflict.text);
  });
}

void read_login(Fields& fields, BalancerConfig& config, Mistakes& mistakes) {
  fields.text("auth_user", config.auth_user);
  fields.secret("auth_password", config.auth_password);
  fields.text("users_file", config.users_file);
  fields.text("hba_file", config.hba_file);
  fields.text("auth_query", config.auth_query);
  read_users(fields.find("users", false), config, mistakes);
  if (config.auth_query.empty()) return;
  if (config.auth_query.find("$1") == std::string::npos) {
    fields.wrong("auth_query", "must hold $1, which stands for the user's name");
  }
  if (fields.find("auth_user", false) == nullptr || config.auth_user.empty()) {
    fields.wrong("auth_user", "must be set: the servers are asked the auth_query by this user");
  }
}

void read_certificate(Fields& fields, const char* cert_key, std::string& cert, const char* key_key, std::string& key) {
  fields.text(cert_key, cert);
  fields.text(key_key, key);
  if (cert.empty() == key.empty()) return;
  fields.wrong(cert.empty() ? cert_key : key_key, "must be set too: TLS needs the certificate and its key");
}

void read_tls(Fields& fields, BalancerConfig& config) {
  read_certificate(fields, "tls_cert_file", config.tls_cert_file, "tls_key_file", config.tls_key_file);
  fields.choice("tls_mode", config.tls_mode, {"disable", "allow", "require"});
  fields.choice("tls_client_certs", config.tls_client_certs, {"none", "optional", "required"});
  fields.text("tls_ca_file", config.tls_ca_file);
  if (config.tls_mode == "require" && config.tls_cert_file.empty()) {
    fields.wrong("tls_cert_file", "must be set: without a certificate there is no TLS that could be required");
  }
  if (config.rest_tls && config.tls_cert_file.empty()) {
    fields.wrong("tls_cert_file", "must be set: rest_tls needs a certificate");
  }
  const bool asked_for = config.tls_client_certs != "none";
  if (asked_for && (config.tls_cert_file.empty() || config.tls_mode == "disable")) {
    fields.wrong("tls_client_certs", "needs TLS: set tls_cert_file and tls_key_file, and leave tls_mode on");
  }
  if (asked_for && config.tls_ca_file.empty()) {
    fields.wrong("tls_ca_file", "must be set: clients' certificates are held against it");
  }
  if (!asked_for && !config.tls_ca_file.empty()) {
    fields.wrong("tls_client_certs",
                 "must be \"optional\" or \"required\": nobody is asked for a certificate that "
                 "tls_ca_file could vouch for");
  }
}

void read_server_tls(Fields& fields, BalancerConfig& config) {
  fields.choice("server_tls", config.server_tls, {"disable", "prefer", "require", "verify-ca", "verify-full"});
  fields.text("server_tls_ca_file", config.server_tls_ca_file);
  read_certificate(fields, "server_tls_cert_file", config.server_tls_cert_file, "server_tls_key_file",
                   config.server_tls_key_file);
  const bool verifies = config.server_tls.rfind("verify", 0) == 0;
  if (verifies && config.server_tls_ca_file.empty()) {
    fields.wrong("server_tls_ca_file", "must be set: the servers' certificates are held against it");
  }
  if (!verifies && !config.server_tls_ca_file.empty()) {
    fields.wrong("server_tls",
                 "must be \"verify-ca\" or \"verify-full\": otherwise no certificate is held against "
                 "server_tls_ca_file");
  }
  if (config.server_tls == "disable" && !config.server_tls_cert_file.empty()) {
    fields.wrong("server_tls", "must not be \"disable\" if there is a certificate for the servers");
  }
}

void read_rest(Fields& fields, BalancerConfig& config) {
  fields.host("rest_address", config.rest_address);
  fields.flag("rest_tls", config.rest_tls);
  fields.flag("rest_local_reads", config.rest_local_reads);
  fields.secret("token", config.token);
  if (!config.token.empty()) config.rest_port = kRestPort;
  fields.number("rest_port", config.rest_port, 0, 65535);
  if (config.rest_port != 0 && config.token.empty()) {
    fields.wrong("token", "must be set: the REST interface asks for it");
  }
  fields.secret("stats_token", config.stats_token);
  if (!config.stats_token.empty() && config.stats_token == config.token) {
    fields.wrong("stats_token", "must not be the token of operators");
  }
}

void read_pcp(Fields& fields, BalancerConfig& config) {
  fields.host("pcp_address", config.pcp_address);
  fields.number("pcp_port", config.pcp_port, 0, 65535);
  fields.text("pcp_users_file", config.pcp_users_file);
  fields.choice("pcp_version", config.pcp_version, {"4.3", "4.4"});
  if (config.pcp_port != 0 && config.pcp_users_file.empty()) {
    fields.wrong("pcp_users_file", "must be set: it says who may give commands at pcp_port");
  }
}

void read_console(Fields& fields, BalancerConfig& config) {
  fields.texts("admin_users", config.admin_users);
  fields.texts("stats_users", config.stats_users);
}

void read_store(Fields& fields, BalancerConfig& config) {
  fields.text("store_dir", config.store_dir);
  fields.host("store_address", config.store_address);
  fields.number("store_port", config.store_port, 0, 65535);
  fields.secret("store_password", config.store_password);
  if (!config.store_dir.empty() && config.store_password.empty()) {
    fields.wrong("store_password", "must be set: the lease store decides who is primary");
  }
  fields.texts("etcd", config.etcd);
  fields.text("etcd_user", config.etcd_user);
  fields.secret("etcd_password", config.etcd_password);
  fields.text("etcd_ca", config.etcd_tls.ca);
  fields.text("etcd_cert", config.etcd_tls.cert);
  fields.secret("etcd_key", config.etcd_tls.key);
  fields.text("cluster", config.cluster);
  if (config.cluster.find('/') != std::string::npos) fields.wrong("cluster", "must not hold a slash");
  if (config.etcd.empty()) return;
  if (!config.store_dir.empty()) fields.wrong("etcd", "must not be set with store_dir: a group has one lease store");
  if (config.cluster.empty()) fields.wrong("cluster", "must be set: an etcd may hold the groups of several clusters");
}

void read_id(Fields& fields, const char* key, std::optional<uint32_t>& out) {
  uint32_t id = 0;
  if (fields.find(key, false) == nullptr) return;
  fields.number(key, id, 0, 0xfffffffe);
  out = id;
}

void read_operations(Fields& fields, BalancerConfig& config) {
  fields.flag("log_connections", config.log_connections);
  fields.choice("log_format", config.log_format, {"text", "json"});
  fields.text("log_file", config.log_file);
  fields.text("takeover_socket", config.takeover_socket);
  fields.text("pid_file", config.pid_file);
  fields.real("takeover_timeout", config.takeover_timeout, 0, kMostSeconds);
  fields.real("shutdown_timeout", config.shutdown_timeout, 0, kMostSeconds);
}

void read_fields(const Json& root, BalancerConfig& config, Mistakes& mistakes) {
  Fields fields(root, "", mistakes);
  fields.text("group", config.group);
  if (config.group.empty()) fields.wrong("group", "must not be empty; leave the key out for its default");
  fields.host("listen_address", config.listen_address);
  fields.number("port", config.port, 0, 65535);
  read_rest(fields, config);
  read_console(fields, config);
  read_pcp(fields, config);
  read_pool(fields, config.pool);
  read_pools(fields.find("pools", false), config, mistakes);
  fields.flag("read_write_split", config.read_write_split);
  read_operations(fields, config);
  read_login(fields, config, mistakes);
  read_tls(fields, config);
  read_server_tls(fields, config);
  fields.secret("agent_token", config.agent_token);
  read_store(fields, config);
  read_id(fields, "run_as_user", config.run_as_user);
  read_id(fields, "run_as_group", config.run_as_group);
  read_nodes(fields.find("nodes", true), config, mistakes);
  fields.no_others();
}

// A time that is not zero stays so: zero means that there is no limit.
std::chrono::milliseconds to_ms(double seconds) {
  const std::chrono::milliseconds time(std::llround(seconds * 1000));
  return seconds > 0 ? std::max(time, std::chrono::milliseconds(1)) : std::chrono::milliseconds(0);
}

proxy::PoolMode pool_mode_of(const std::string& text) {
  if (text == "session") return proxy::PoolMode::kSession;
  return text == "statement" ? proxy::PoolMode::kStatement : proxy::PoolMode::kTransaction;
}

proxy::CausalReads causal_reads_of(const std::string& text) {
  if (text == "off") return proxy::CausalReads::kOff;
  return text == "global" ? proxy::CausalReads::kGlobal : proxy::CausalReads::kSession;
}

}  // namespace

proxy::TopologySnapshot BalancerConfig::topology() const {
  proxy::TopologySnapshot snapshot;
  snapshot.group = group;
  for (const Node& node : nodes) {
    proxy::NodeView view;
    view.name = node.name;
    view.host = node.host;
    view.port = node.port;
    view.weight = node.weight;
    view.tls_host = node.tls_host.empty() ? node.host : node.tls_host;  // host may be looked up
    snapshot.nodes.push_back(std::move(view));
  }
  return snapshot;
}

proxy::PoolSettings BalancerConfig::pool_settings() const {
  proxy::PoolSettings out;
  out.mode = pool_mode_of(pool.pool_mode);
  out.pool_size = pool.pool_size;
  out.min_pool_size = pool.min_pool_size;
  out.reserve_pool_size = pool.reserve_pool_size;
  for (const model::PoolEntry& entry : pools) {
    proxy::PoolRule& rule = out.rules.emplace_back();
    rule.database = entry.database;
    rule.user = entry.user;
    if (entry.pool_mode) rule.mode = pool_mode_of(*entry.pool_mode);
    rule.pool_size = entry.pool_size;
    rule.min_pool_size = entry.min_pool_size;
    rule.reserve_pool_size = entry.reserve_pool_size;
  }
  out.reserve_after = to_ms(pool.reserve_pool_timeout);
  out.max_clients = pool.max_clients;
  out.max_user_clients = pool.max_user_clients;
  out.max_database_clients = pool.max_database_clients;
  out.query_wait_timeout = to_ms(pool.query_wait_timeout);
  out.primary_wait_timeout = to_ms(pool.primary_wait_timeout);
  out.query_timeout = to_ms(pool.query_timeout);
  out.client_idle_timeout = to_ms(pool.client_idle_timeout);
  out.idle_transaction_timeout = to_ms(pool.idle_transaction_timeout);
  out.server_idle_timeout = to_ms(pool.server_idle_timeout);
  out.server_lifetime = to_ms(pool.server_lifetime);
  out.server_check_after = to_ms(pool.server_check_delay);
  out.max_prepared = pool.max_prepared_statements;
  out.read_write_split = read_write_split;
  out.causal_reads = causal_reads_of(pool.causal_reads);
  out.max_replica_lag = to_ms(pool.max_replica_lag);
  out.max_replica_lag_bytes = pool.max_replica_lag_bytes;
  out.log_slow_queries = to_ms(pool.log_slow_queries);
  out.log_connections = log_connections;
  return out;
}

bool BalancerConfig::holds_secrets() const {
  return !token.empty() || !stats_token.empty() || !auth_password.empty() || !agent_token.empty() ||
         !store_password.empty() || !etcd_password.empty() || !etcd_tls.key.empty() || !users.empty();
}

Result<BalancerConfig> parse_balancer_config(std::string_view text) {
  auto root = parse_object(text);
  if (!root) return std::move(root).error();
  BalancerConfig config;
  Mistakes mistakes;
  read_fields(*root, config, mistakes);
  if (mistakes.empty()) return config;
  Error error(Code::kConfig, "the configuration has " + std::to_string(mistakes.size()) +
                                 (mistakes.size() == 1 ? " mistake" : " mistakes"));
  for (std::string& mistake : mistakes) error.with("mistake", std::move(mistake));
  return error;
}

}  // namespace pgb::control
