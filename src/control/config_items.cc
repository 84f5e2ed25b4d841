// The configuration as a list of keys and values. What is secret is not in it.
#include "base/strings.h"
#include "control/text_of.h"
#include "control/views.h"

namespace pgb::control {
namespace {

std::string text_of(const std::string& value) { return value; }
std::string text_of(bool value) { return value ? "true" : "false"; }
std::string text_of(const std::vector<std::string>& value) { return join(value, ","); }
std::string text_of(double value) {
  std::string out = fixed(value, 3);
  out.erase(out.find_last_not_of('0') + 1);
  if (out.back() == '.') out.pop_back();
  return out;
}
// "database/user key=value …; …", with * for any.
std::string text_of(const std::vector<model::PoolEntry>& value) {
  const auto or_any = [](const std::string& name) { return name.empty() ? "*" : name; };
  std::vector<std::string> entries;
  for (const model::PoolEntry& entry : value) {
    std::string text = or_any(entry.database) + "/" + or_any(entry.user);
    if (entry.pool_mode) text += " pool_mode=" + *entry.pool_mode;
    if (entry.pool_size) text += " pool_size=" + std::to_string(*entry.pool_size);
    if (entry.min_pool_size) text += " min_pool_size=" + std::to_string(*entry.min_pool_size);
    if (entry.reserve_pool_size) text += " reserve_pool_size=" + std::to_string(*entry.reserve_pool_size);
    entries.push_back(std::move(text));
  }
  return join(entries, "; ");
}
template <class Whole>
std::string text_of(Whole value) {
  return std::to_string(value);
}

// Calls visit(key, value, whether a reload changes it).
template <class Visit>
void each_key(const BalancerConfig& config, Visit visit) {
  visit("group", config.group, false);
  visit("listen_address", config.listen_address, false);
  visit("port", config.port, false);
  visit("rest_address", config.rest_address, false);
  visit("rest_port", config.rest_port, false);
  visit("rest_tls", config.rest_tls, true);
  visit("rest_local_reads", config.rest_local_reads, false);
  visit("pcp_address", config.pcp_address, false);
  visit("pcp_port", config.pcp_port, false);
  visit("pcp_users_file", config.pcp_users_file, false);
  visit("pcp_version", config.pcp_version, false);
  visit("admin_users", config.admin_users, true);
  visit("stats_users", config.stats_users, true);
  visit("auth_user", config.auth_user, false);
  visit("auth_query", config.auth_query, false);
  visit("users_file", config.users_file, false);
  visit("hba_file", config.hba_file, true);
  visit("log_format", config.log_format, false);
  visit("log_file", config.log_file, false);
  visit("log_connections", config.log_connections, true);
  visit("pid_file", config.pid_file, false);
  visit("takeover_socket", config.takeover_socket, false);
  visit("takeover_timeout", config.takeover_timeout, false);
  visit("shutdown_timeout", config.shutdown_timeout, false);
  visit("tls_mode", config.tls_mode, true);
  visit("tls_cert_file", config.tls_cert_file, true);
  visit("tls_client_certs", config.tls_client_certs, true);
  visit("tls_ca_file", config.tls_ca_file, true);
  visit("server_tls", config.server_tls, true);
  visit("server_tls_ca_file", config.server_tls_ca_file, true);
  visit("server_tls_cert_file", config.server_tls_cert_file, true);
  visit("read_write_split", config.read_write_split, true);
  model::each_pool_key(config.pool, [&](const std::string& key, const auto& value) {
    visit(key, value, key != "threads" && key != "scheduling" && key != "io_uring");
  });
  visit("pools", config.pools, true);
}

}  // namespace

std::vector<ConfigItem> config_items(const BalancerConfig& config) {
  std::vector<ConfigItem> items;
  each_key(config, [&](const std::string& key, const auto& value, bool changeable) {
    items.push_back({key, text_of(value), "", changeable});
  });
  size_t at = 0;
  each_key(BalancerConfig(),
           [&](const std::string&, const auto& value, bool) { items[at++].fallback = text_of(value); });
  // By the names under which exporters of PgBouncer look for them. Servers have no limit by user here.
  items.push_back(
      {"max_client_conn", text_of(config.pool.max_clients), text_of(model::PoolConfig().max_clients), true});
  items.push_back({"max_user_connections", "0", "0", false});
  items.push_back({"default_pool_size", text_of(config.pool.pool_size), text_of(model::PoolConfig().pool_size), true});
  return items;
}

}  // namespace pgb::control
