// A cluster back to its file.
#include <charconv>

#include "model/topology_json.h"

namespace pgb::model {

namespace {

std::string quoted(std::string_view text) {
  static const char* kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string number(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return {buffer, end};
}

std::string printed(const std::string& value) { return quoted(value); }
std::string printed(double value) { return number(value); }
std::string printed(unsigned value) { return std::to_string(value); }
std::string printed(uint64_t value) { return std::to_string(value); }

// Writes one object, a member a line.
class Object {
 public:
  explicit Object(int level) : level_(level) {}

  Object& raw(std::string_view key, const std::string& json) {
    body_ +=
        (body_.empty() ? "\n" : ",\n") + std::string(static_cast<size_t>(level_) * 2, ' ') + quoted(key) + ": " + json;
    return *this;
  }
  Object& text(std::string_view key, std::string_view value) { return raw(key, quoted(value)); }
  Object& text_if(std::string_view key, std::string_view value) { return value.empty() ? *this : text(key, value); }
  Object& whole(std::string_view key, int value) { return raw(key, std::to_string(value)); }
  Object& truth(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }

  std::string str() const {
    return body_.empty() ? "{}" : "{" + body_ + "\n" + std::string(static_cast<size_t>(level_ - 1) * 2, ' ') + "}";
  }

 private:
  int level_;
  std::string body_;
};

std::string list(const std::vector<std::string>& items) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "" : ", ") + item;
  return "[" + out + "]";
}

std::string texts(const std::vector<std::string>& items) {
  std::vector<std::string> out;
  for (const auto& item : items) out.push_back(quoted(item));
  return list(out);
}

void password(Object& object, std::string_view key, const PasswordSource& source) {
  const char* kind = source.kind == PasswordSource::Kind::kEnv    ? "env"
                     : source.kind == PasswordSource::Kind::kFile ? "file"
                                                                  : nullptr;
  if (kind != nullptr) object.raw(key, std::string("{\"") + kind + "\": " + quoted(source.name) + "}");
}

std::string dcs(const Cluster& cluster) {
  const EtcdAccess& access = cluster.dcs_access;
  Object object(2);
  object.raw("etcd", texts(cluster.dcs_etcd)).text_if("ca_file", access.ca_file);
  object.text_if("cert_file", access.cert_file).text_if("key_file", access.key_file).text_if("user", access.user);
  password(object, "password", access.password);
  return object.str();
}

std::string postgres(const Postgres& pg) {
  Object parameters(3);
  for (const auto& [name, value] : pg.parameters) parameters.text(name, value);
  Object object(2);
  object.text("image", pg.image).text_if("bin_dir", pg.bin_dir).text("database", pg.database);
  object.text("superuser", pg.superuser);
  password(object, "password", pg.password);
  object.text("replication_user", pg.replication_user);
  password(object, "replication_password", pg.replication_password);
  object.raw("parameters", parameters.str()).raw("init_sql", texts(pg.init_sql));
  return object.str();
}

std::string node(const Node& node, int level) {
  Object object(level);
  if (node.node_id != 0) object.whole("node_id", node.node_id);
  object.text("host", node.name).whole("port", node.port).text("container_name", node.container_name);
  object.text("ip_address", node.ip_address).raw("weight", number(node.weight));
  return object.str();
}

std::string pool_entry(const PoolEntry& entry) {
  Object object(6);
  object.text_if("database", entry.database).text_if("user", entry.user);
  each_pool_entry_key(entry, [&object](const char* key, const auto& value) {
    if (value) object.raw(key, printed(*value));
  });
  return object.str();
}

std::string balancer(const Balancer& b) {
  Object config(4);
  if (b.config.num_init_children != 0) config.whole("num_init_children", b.config.num_init_children);
  config.whole("max_pool", b.config.max_pool).truth("load_balance_mode", b.config.load_balance_mode);
  each_pool_key(b.config.pool, [&config](const char* key, const auto& value) { config.raw(key, printed(value)); });
  std::vector<std::string> pools;
  for (const PoolEntry& entry : b.config.pools) pools.push_back(pool_entry(entry));
  if (!pools.empty()) config.raw("pools", list(pools));
  config.text_if("tls_cert_file", b.config.tls_cert_file).text_if("tls_key_file", b.config.tls_key_file);
  config.text("tls_mode", b.config.tls_mode).text("tls_client_certs", b.config.tls_client_certs);
  config.text_if("tls_ca_file", b.config.tls_ca_file).text_if("hba_file", b.config.hba_file);
  if (b.config.rest_tls) config.truth("rest_tls", true);
  config.raw("admin_users", texts(b.config.admin_users)).raw("stats_users", texts(b.config.stats_users));
  config.text("pcp_version", b.config.pcp_version);
  std::vector<std::string> replicas;
  for (const auto& replica : b.replicas) replicas.push_back(node(replica, 4));
  Object object(3);
  object.text("name", b.name).text("container_name", b.container_name).text("ip_address", b.ip_address);
  object.whole("port", b.port).whole("pcp_port", b.pcp_port).whole("rest_api_port", b.rest_api_port);
  object.raw("config", config.str()).raw("primary", node(b.primary, 4)).raw("replicas", list(replicas));
  return object.str();
}

}  // namespace

std::string to_json(const Cluster& cluster) {
  Object network(2);
  network.text("name", cluster.network.name).text("subnet", cluster.network.subnet);
  Object ha(2);
  ha.raw("failover", cluster.ha.failover ? "true" : "false")
      .raw("lease", number(cluster.ha.lease))
      .raw("lag_limit", std::to_string(cluster.ha.lag_limit));
  std::vector<std::string> balancers;
  for (const auto& each : cluster.balancers) balancers.push_back(balancer(each));
  Object object(1);
  object.text("cluster_name", cluster.cluster_name).raw("network", network.str());
  object.text("runtime", to_string(cluster.runtime)).text("bind_address", cluster.bind_address);
  object.raw("postgres", postgres(cluster.postgres)).text("durability", to_string(cluster.durability));
  object.truth("protect", cluster.protect).raw("ha", ha.str());
  object.raw("dcs", cluster.dcs_etcd.empty() ? "\"embedded\"" : dcs(cluster));
  object.raw("balancers", list(balancers));
  return object.str() + "\n";
}

}  // namespace pgb::model
