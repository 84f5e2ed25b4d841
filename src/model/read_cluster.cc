#include "model/read_cluster.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "model/claims.h"
#include "model/key_table.h"
#include "model/validate.h"

namespace pgb::model {

namespace {

using JsonKind = JsonValue::Kind;

// The member if it is there and of its kind.
const JsonValue* usable(const JsonValue* object, std::string_view name) {
  const JsonValue* value = object == nullptr ? nullptr : object->find(name);
  return value != nullptr && value->usable ? value : nullptr;
}

void read(const JsonValue* object, std::string_view name, std::string& out) {
  if (const auto* value = usable(object, name)) out = value->text;
}

void read(const JsonValue* object, std::string_view name, double& out) {
  const auto* value = usable(object, name);
  if (value != nullptr) std::from_chars(value->text.data(), value->text.data() + value->text.size(), out);
}

void read(const JsonValue* object, std::string_view name, int& out) {
  const auto* value = usable(object, name);
  if (value != nullptr) out = static_cast<int>(whole_number(*value).value_or(out));
}

void read(const JsonValue* object, std::string_view name, unsigned& out) {
  const auto* value = usable(object, name);
  if (value != nullptr) out = static_cast<unsigned>(whole_number(*value).value_or(out));
}

void read(const JsonValue* object, std::string_view name, uint64_t& out) {
  const auto* value = usable(object, name);
  if (value != nullptr) out = static_cast<uint64_t>(whole_number(*value).value_or(0));
}

void read(const JsonValue* object, std::string_view name, bool& out) {
  const auto* value = usable(object, name);
  if (value != nullptr) out = value->is(JsonKind::kBool) ? value->boolean : value->text == "on";
}

void read(const JsonValue* object, std::string_view name, std::vector<std::string>& out) {
  const auto* value = usable(object, name);
  for (size_t i = 0; value != nullptr && i < value->items.size(); ++i) out.push_back(value->items[i].text);
}

template <class T>
void read(const JsonValue* object, std::string_view name, std::optional<T>& out) {
  T value{};
  read(object, name, value);
  if (usable(object, name) != nullptr) out = std::move(value);
}

void read(const JsonValue* object, std::string_view name, PasswordSource& out) {
  const auto* value = usable(object, name);
  if (value == nullptr) return;
  if (value->is(JsonKind::kString)) {
    out.kind = PasswordSource::Kind::kLiteral;
    out.literal = Secret(value->text);
    return;
  }
  const auto& member = value->items.front();
  out.kind = member.key == "env" ? PasswordSource::Kind::kEnv : PasswordSource::Kind::kFile;
  out.name = member.text;
}

class Reader {
 public:
  Reader(const JsonValue& root, const Defaults& defaults, Mistakes& mistakes)
      : root_(&root), defaults_(defaults), mistakes_(mistakes) {
    cluster_.ha.failover = defaults.failover;
  }

  Cluster cluster() {
    read(root_, "cluster_name", cluster_.cluster_name);
    network();
    settings();
    postgres();
    group_values();
    claims_.settle(mistakes_);
    for (size_t i = 0; i < cluster_.balancers.size(); ++i) complete(cluster_.balancers[i], static_cast<int>(i));
    return std::move(cluster_);
  }

 private:
  void network() {
    const auto* object = usable(root_, "network");
    cluster_.network = {cluster_.cluster_name + "_net", "172.31.0.0/16"};
    read(object, "name", cluster_.network.name);
    read(object, "subnet", cluster_.network.subnet);
    subnet_ = *parse_subnet(cluster_.network.subnet);
    // With a subnet we could not read, no address can be held against it.
    subnet_known_ = object == nullptr || object->find("subnet") == nullptr || usable(object, "subnet") != nullptr;
  }

  void settings() {
    std::string runtime;
    read(root_, "runtime", runtime);
    if (runtime == "docker") cluster_.runtime = RuntimeKind::kDocker;
    if (runtime == "process") cluster_.runtime = RuntimeKind::kProcess;
    read(root_, "bind_address", cluster_.bind_address);
    read(root_, "protect", cluster_.protect);
    std::string durability;
    read(root_, "durability", durability);
    if (durability == "async") cluster_.durability = Durability::kAsync;
    if (durability == "strict") cluster_.durability = Durability::kStrict;
    const auto* ha = usable(root_, "ha");
    read(ha, "failover", cluster_.ha.failover);
    read(ha, "lease", cluster_.ha.lease);
    read(ha, "lag_limit", cluster_.ha.lag_limit);
    const auto* dcs = usable(root_, "dcs");
    read(dcs, "etcd", cluster_.dcs_etcd);
    read(dcs, "ca_file", cluster_.dcs_access.ca_file);
    read(dcs, "cert_file", cluster_.dcs_access.cert_file);
    read(dcs, "key_file", cluster_.dcs_access.key_file);
    read(dcs, "user", cluster_.dcs_access.user);
    read(dcs, "password", cluster_.dcs_access.password);
  }

  void postgres() {
    const auto* object = usable(root_, "postgres");
    auto& pg = cluster_.postgres;
    read(object, "image", pg.image);
    read(object, "bin_dir", pg.bin_dir);
    read(object, "database", pg.database);
    read(object, "superuser", pg.superuser);
    read(object, "password", pg.password);
    read(object, "replication_user", pg.replication_user);
    read(object, "replication_password", pg.replication_password);
    const bool given = usable(object, "replication_user") != nullptr;
    const std::string key = given ? "replication_user" : "superuser";
    if (pg.replication_user == pg.superuser && usable(object, key) != nullptr) {
      mistakes_.add(usable(object, key)->place, "postgres." + key,
                    given ? shown(pg.superuser) + " is the superuser; give the replicas a role of their own"
                          : shown(pg.superuser) + " is the replicas' role; set \"replication_user\" to another name");
    }
    for (const auto& [name, role] : {std::pair<std::string, std::string>("superuser", pg.superuser),
                                     std::pair<std::string, std::string>("replication_user", pg.replication_user)}) {
      const bool ours = role == "pgbalancer" || role == "pgbalancer_agent" || role.rfind("pg_", 0) == 0;
      if (!ours || usable(object, name) == nullptr) continue;
      mistakes_.add(usable(object, name)->place, "postgres." + name,
                    shown(role) + " is a role that PostgreSQL or pgbalancer keeps for itself; give another name");
    }
    for (const auto& [name, value] : default_parameters()) pg.parameters[std::string(name)] = value;
    read(object, "init_sql", pg.init_sql);
    parameters(usable(object, "parameters"));
  }

  void parameters(const JsonValue* object) {
    if (object == nullptr) return;
    std::map<std::string, std::string> written;
    for (const auto& member : object->items) {
      if (!member.usable) continue;
      std::string name = member.key;
      for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
      const auto [first, fresh] = written.emplace(name, member.key);
      if (!fresh && first->second != member.key) {
        mistakes_.add(member.key_place, join_path("postgres.parameters", member.key),
                      "is the same setting as " + shown(first->second) + "; keep one");
      }
      if (fresh) cluster_.postgres.parameters[name] = parameter_text(member).value_or("");
    }
  }

  void group_values() {
    const auto* list = usable(root_, "balancers");
    cluster_.balancers.resize(list == nullptr ? 1 : list->items.size());
    for (size_t i = 0; list != nullptr && i < list->items.size(); ++i) {
      if (list->items[i].usable)
        balancer(list->items[i], cluster_.balancers[i], "balancers[" + std::to_string(i) + "]");
    }
    if (list == nullptr) cluster_.balancers[0].replicas.resize(kDefaultReplicas);
  }

  void balancer(const JsonValue& object, Balancer& out, const std::string& path) {
    claimed(object, "name", "name", path, out.name);
    claimed(object, "container_name", "container", path, out.container_name);
    address(object, path, out.ip_address);
    port(object, "port", path, out.port);
    port(object, "pcp_port", path, out.pcp_port);
    port(object, "rest_api_port", path, out.rest_api_port);
    config(usable(&object, "config"), out.config, path + ".config");
    if (const auto* primary = usable(&object, "primary")) node(*primary, out.primary, path + ".primary");
    const auto* replicas = usable(&object, "replicas");
    out.replicas.resize(replicas == nullptr ? kDefaultReplicas : replicas->items.size());
    for (size_t i = 0; replicas != nullptr && i < replicas->items.size(); ++i) {
      const auto& item = replicas->items[i];
      const std::string at = path + ".replicas[" + std::to_string(i) + "]";
      if (!item.usable) continue;
      node(item, out.replicas[i], at);
      read(&item, "node_id", out.replicas[i].node_id);
      if (const auto* id = usable(&item, "node_id")) claims_.claim(path + ".node_id", id->text, *id, at + ".node_id");
    }
  }

  void config(const JsonValue* object, BalancerConfig& out, const std::string& path) {
    read(object, "num_init_children", out.num_init_children);
    read(object, "max_pool", out.max_pool);
    read(object, "load_balance_mode", out.load_balance_mode);
    read(object, "tls_cert_file", out.tls_cert_file);
    read(object, "tls_key_file", out.tls_key_file);
    read(object, "tls_mode", out.tls_mode);
    read(object, "tls_client_certs", out.tls_client_certs);
    read(object, "tls_ca_file", out.tls_ca_file);
    read(object, "rest_tls", out.rest_tls);
    read(object, "hba_file", out.hba_file);
    read(object, "admin_users", out.admin_users);
    read(object, "stats_users", out.stats_users);
    out.pcp_version = defaults_.pcp_version;
    read(object, "pcp_version", out.pcp_version);
    pool(object, out, path);
    if (object != nullptr) tls(*object, out, path);
  }

  void tls(const JsonValue& config, const BalancerConfig& out, const std::string& path) {
    const JsonValue* object = &config;
    const auto wrong = [&](const char* key, const std::string& text) {
      const auto* value = usable(object, key);
      if (value != nullptr) mistakes_.add(value->place, join_path(path, key), text);
    };
    if (out.tls_mode == "require" && object->find("tls_cert_file") == nullptr) {
      wrong("tls_mode", "wants \"tls_cert_file\" and \"tls_key_file\" beside it: there is no TLS without");
    }
    if (out.rest_tls && object->find("tls_cert_file") == nullptr) {
      wrong("rest_tls", "wants \"tls_cert_file\" and \"tls_key_file\" beside it: there is no TLS without");
    }
    const bool asked_for = out.tls_client_certs == "optional";
    if (asked_for && (object->find("tls_cert_file") == nullptr || out.tls_mode == "disable")) {
      wrong("tls_client_certs",
            "needs TLS: give \"tls_cert_file\" and \"tls_key_file\", and no \"tls_mode\": \"disable\"");
    }
    if (asked_for && object->find("tls_ca_file") == nullptr) {
      wrong("tls_client_certs", "wants \"tls_ca_file\" beside it: certificates are held against it");
    }
    if (!asked_for)
      wrong("tls_ca_file", "wants \"tls_client_certs\": \"optional\" beside it: nobody is asked for a certificate");
    const bool cert = object->find("tls_cert_file") != nullptr;
    if (cert == (object->find("tls_key_file") != nullptr)) return;
    const char* given = cert ? "tls_cert_file" : "tls_key_file";
    const char* lacking = cert ? "tls_key_file" : "tls_cert_file";
    mistakes_.add(object->find(given)->key_place, join_path(path, given),
                  std::string("wants \"") + lacking + "\" beside it: TLS needs both the certificate and its key");
  }

  void pool(const JsonValue* object, BalancerConfig& config, const std::string& path) {
    PoolConfig& out = config.pool;
    if (config.num_init_children > 0) {  // what it always meant: so many clients, each with its servers
      const auto children = static_cast<unsigned>(config.num_init_children);
      out.max_clients = children;
      out.pool_size = std::min(out.pool_size, children * static_cast<unsigned>(config.max_pool));
    }
    each_pool_key(out, [object](const char* key, auto& value) { read(object, key, value); });
    const PoolConflict conflict = conflict_in(out);
    const auto* given = usable(object, conflict.key);
    if (given != nullptr) mistakes_.add(given->place, join_path(path, conflict.key), conflict.text);
    pools(usable(object, "pools"), config, join_path(path, "pools"));
  }

  void pools(const JsonValue* list, BalancerConfig& config, const std::string& path) {
    for (size_t i = 0; list != nullptr && i < list->items.size(); ++i) {
      const JsonValue& item = list->items[i];
      PoolEntry& entry = config.pools.emplace_back();
      const auto is_wrong = [](const JsonValue& member) { return !member.usable; };
      if (!item.usable || std::any_of(item.items.begin(), item.items.end(), is_wrong)) continue;
      read(&item, "database", entry.database);
      read(&item, "user", entry.user);
      each_pool_entry_key(entry, [&item](const char* key, auto& value) { read(&item, key, value); });
      const PoolConflict conflict = conflict_in(config.pool, config.pools, i);
      if (conflict.key.empty()) continue;
      const JsonValue* given = item.find(conflict.key);
      const std::string at = path + "[" + std::to_string(i) + "]";
      mistakes_.add(given == nullptr ? item.place : given->place, join_path(at, conflict.key), conflict.text);
    }
  }

  void node(const JsonValue& object, Node& out, const std::string& path) {
    claimed(object, "host", "name", path, out.name);
    claimed(object, "container_name", "container", path, out.container_name);
    address(object, path, out.ip_address);
    port(object, "port", path, out.port);
    read(&object, "weight", out.weight);
  }

  void claimed(const JsonValue& object, const char* key, const char* space, const std::string& path, std::string& out) {
    read(&object, key, out);
    if (const auto* value = usable(&object, key)) claims_.claim(space, value->text, *value, path + "." + key);
  }

  void port(const JsonValue& object, const char* key, const std::string& path, uint16_t& out) {
    const auto* value = usable(&object, key);
    if (value == nullptr) return;
    out = static_cast<uint16_t>(whole_number(*value).value_or(0));
    claims_.claim("port", value->text, *value, path + "." + key);
  }

  void address(const JsonValue& object, const std::string& path, std::string& out) {
    const auto* value = usable(&object, "ip_address");
    if (value == nullptr) return;
    out = value->text;
    const std::string at = path + ".ip_address";
    claims_.claim("address", value->text, *value, at);
    const uint32_t number = parse_ipv4(out).value_or(0);
    std::string text;
    if (!subnet_known_) return;
    if (!subnet_.holds(number))
      text = "is outside network.subnet, " + cluster_.network.subnet;
    else if (number == subnet_.base)
      text = "is the address of the network itself";
    else if (number == subnet_.base + 1)
      text = "is the network's gateway; take another one";
    else if (number - subnet_.base == subnet_.size() - 1)
      text = "is the network's broadcast address; take another one";
    if (!text.empty()) mistakes_.add(value->place, at, out + " " + text);
  }

  // Fills in what the file left open. Group k has the ports k9999, k9898 …, the addresses .k.10 ….
  void complete(Balancer& b, int index) {
    int next = index + 1;
    if (b.name.empty()) b.name = claims_.free_name("lb", next);
    if (b.container_name.empty()) b.container_name = claims_.free_container("pgbalancer_" + b.name);
    const int shift = index % kPortGroups * 10000;
    fill_port(b.port, 19999 + shift);
    fill_port(b.pcp_port, 19898 + shift);
    fill_port(b.rest_api_port, 18080 + shift);
    const uint64_t addresses = (static_cast<uint64_t>(index) + 1) * 256;
    fill_address(b.ip_address, addresses + 10);
    b.primary.role = Role::kPrimary;
    next = index + 1;
    complete_node(b.primary, "primary", next, 15432 + shift, addresses + 20);
    for (size_t i = 0; i < b.replicas.size(); ++i) {
      const auto count = static_cast<int>(i);
      complete_node(b.replicas[i], "replica", next_replica_, 15433 + shift + count, addresses + 21 + i);
    }
    node_ids(b);
  }

  void complete_node(Node& node, const char* stem, int& next, int port, uint64_t address) {
    if (node.name.empty()) node.name = claims_.free_name(stem, next);
    if (node.container_name.empty()) node.container_name = claims_.free_container(node.name);
    fill_port(node.port, port);
    fill_address(node.ip_address, address);
  }

  void fill_port(uint16_t& port, int wanted) {
    if (port == 0) port = claims_.free_port(wanted);
  }

  void fill_address(std::string& address, uint64_t offset) {
    if (!address.empty()) return;
    address = claims_.free_address(subnet_, offset);
    if (!address.empty() || full_ || !subnet_known_) return;
    full_ = true;
    const auto* network = usable(root_, "network");
    const auto* subnet = usable(network, "subnet");
    mistakes_.add(subnet == nullptr ? root_->place : subnet->place, "network.subnet",
                  cluster_.network.subnet + " has too few addresses for all balancers and servers; take a larger one");
  }

  static void node_ids(Balancer& balancer) {
    std::vector<int> used;
    for (const auto& node : balancer.replicas) used.push_back(node.node_id);
    int next = 1;
    for (auto& node : balancer.replicas) {
      if (node.node_id != 0) continue;
      while (std::find(used.begin(), used.end(), next) != used.end()) ++next;
      node.node_id = next++;
    }
  }

  static constexpr size_t kDefaultReplicas = 2;
  static constexpr int kPortGroups = 5;  // 1xxxx … 5xxxx
  const JsonValue* root_;
  const Defaults defaults_;
  Mistakes& mistakes_;
  Cluster cluster_;
  Claims claims_;
  Subnet subnet_;
  bool subnet_known_ = true;
  bool full_ = false;
  int next_replica_ = 1;
};

}  // namespace

Cluster read_cluster(const JsonValue& root, const Defaults& defaults, Mistakes& mistakes) {
  return Reader(root, defaults, mistakes).cluster();
}

}  // namespace pgb::model
