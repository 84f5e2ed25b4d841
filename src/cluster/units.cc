#include "cluster/units.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "os/file.h"
#include "pgwire/digest.h"
#include "runtime/docker_spec.h"
#include "runtime/ports.h"
#include "runtime/process_runtime.h"

namespace pgb::cluster {

using nlohmann::json;
using runtime::UnitSpec;

namespace {

// FNV-1a, 64 bits: tells one specification from another, no more.
std::string hash_of(const std::string& text) {
  uint64_t hash = 14695981039346656037u;
  for (unsigned char c : text) hash = (hash ^ c) * 1099511628211u;
  char out[17];
  std::snprintf(out, sizeof out, "%016llx", static_cast<unsigned long long>(hash));
  return out;
}

// The balancer's copies.

class UnitMaker {
 public:
  UnitMaker(const Session& session, const model::Cluster& cluster, const Secrets& secrets, const UnitMap& existing)
      : session_(session),
        cluster_(cluster),
        secrets_(secrets),
        existing_(existing),
        docker_(session.runtime->kind() == model::RuntimeKind::kDocker) {}

  Result<std::vector<UnitSpec>> all() {
    std::vector<UnitSpec> units;
    PGB_TRY(load_init_files());
    PGB_TRY(choose_ports());
    for (const model::Balancer& balancer : cluster_.balancers) {
      for (const model::Node& node : balancer.nodes()) {
        auto unit = make_node(balancer, node);
        if (!unit.ok()) return std::move(unit).error();
        units.push_back(std::move(*unit));
      }
      auto unit = make_balancer(balancer);
      if (!unit.ok()) return std::move(unit).error();
      units.push_back(std::move(*unit));
    }
    return units;
  }

 private:
  UnitSpec common(const model::Balancer& group, const std::string& name) const {
    UnitSpec unit;
    unit.cluster = cluster_.cluster_name;
    unit.group = group.name;
    unit.name = name;
    unit.bind_address = cluster_.bind_address;
    return unit;
  }

  // A file named in the cluster file, relative to it.
  Result<std::string> read_beside(const std::string& key, const std::string& name) const {
    const std::string& file = session_.options.file;
    const size_t slash = file.rfind('/');
    const std::string base = slash == std::string::npos ? "" : file.substr(0, slash + 1);
    auto text = os::read_file(name[0] == '/' ? name : base + name);
    if (!text.ok()) return Error(Code::kConfig, key + ": " + text.error().message);
    return text;
  }

  // Read once; the agents of primaries get copies. Agents that exist have theirs: then a file may have gone.
  Status load_init_files() {
    const bool all_there =
        std::all_of(cluster_.balancers.begin(), cluster_.balancers.end(),
                    [&](const model::Balancer& group) { return existing_.count(group.primary.name) != 0; });
    for (const std::string& name : cluster_.postgres.init_sql) {
      init_names_.push_back(std::to_string(init_names_.size() + 1) + "-" + name.substr(name.rfind('/') + 1));
      auto text = read_beside("postgres.init_sql", name);
      if (text.ok()) {
        init_files_.push_back({init_names_.back(), *text});
      } else if (!all_there) {
        return std::move(text).error();
      }
    }
    return {};
  }

  // Agents and lease stores listen where they did before, else where nobody else does.
  Status choose_ports() {
    for (const model::Balancer& group : cluster_.balancers) {
      auto store = known_port(group.name, kStorePort);
      if (!store.ok()) return std::move(store).error();
      ports_[group.name] = *store;
      for (const model::Node& node : group.nodes()) {
        auto port = known_port(node.name, kAgentPort);
        if (!port.ok()) return std::move(port).error();
        ports_[node.name] = *port;
      }
    }
    return {};
  }

  Result<uint16_t> known_port(const std::string& name, uint16_t inside) const {
    if (docker_) return uint16_t{0};  // the engine chooses the outside port
    const auto known = existing_.find(name);
    if (known != existing_.end()) {
      const auto port = known->second.ports.find(inside);
      const bool there = port != known->second.ports.end() && port->second != 0;
      // One that does not run may have lost its port to somebody else meanwhile.
      const bool runs = known->second.state == runtime::UnitState::kRunning;
      if (there && (runs || runtime::check_port_free(cluster_.bind_address, port->second).ok())) return port->second;
    }
    return runtime::free_port(cluster_.bind_address);
  }

  Result<UnitSpec> make_node(const model::Balancer& group, const model::Node& node) {
    UnitSpec unit = common(group, node.name);
    const uint16_t port = ports_.at(node.name);
    unit.kind = UnitSpec::Kind::kNode;
    unit.container_name = node.container_name;
    unit.ip_address = node.ip_address;
    unit.image = cluster_.postgres.image;
    unit.ports = {{kPostgresPort, node.port}, {kAgentPort, port}};
    unit.spec_hash =
        hash_of(unit.image + "|" + unit.container_name + "|" + unit.ip_address + "|" + unit.bind_address + "|" +
                std::to_string(node.port) + "|" + std::to_string(port) + "|" + cluster_.postgres.bin_dir + "|" +
                json(cluster_.postgres.parameters).dump() + (has_failover() ? "|failover" : ""));
    unit.files.push_back({"agent.json", agent_json(group, node, port)});
    if (has_failover()) unit.files.push_back({"group.json", group_json(group), false});
    if (node.role == model::Role::kPrimary) {
      unit.files.insert(unit.files.end(), init_files_.begin(), init_files_.end());
    }
    return unit;
  }

  std::string agent_json(const model::Balancer& group, const model::Node& node, uint16_t port) const {
    const std::string process_data =
        runtime::process_unit_dir(session_.state_dir, cluster_.cluster_name, node.name) + "/data/pgdata";
    const json init = node.role == model::Role::kPrimary ? json(init_names_) : json::array();
    json doc{{"cluster", cluster_.cluster_name},
             {"name", node.name},
             {"primary", node.role == model::Role::kPrimary},
             {"data_dir", docker_ ? "/var/lib/postgresql/data/pgdata" : process_data},
             {"bin_dir", docker_ ? "" : cluster_.postgres.bin_dir},
             {"run_as_user", docker_ ? "postgres" : ""},
             {"listen_address", docker_ ? "0.0.0.0" : cluster_.bind_address},
             {"port", docker_ ? kPostgresPort : node.port},
             {"agent_address", docker_ ? "0.0.0.0" : cluster_.bind_address},
             {"agent_port", docker_ ? kAgentPort : port},
             {"token", secrets_.agent_token.reveal()},
             {"superuser", cluster_.postgres.superuser},
             {"database", cluster_.postgres.database},
             {"replication_user", cluster_.postgres.replication_user},
             {"superuser_password", secrets_.superuser_password.reveal()},
             {"replication_password", secrets_.replication_password.reveal()},
             {"agent_password", secrets_.agent_password.reveal()},
             {"balancer_password", secrets_.balancer_password.reveal()},
             {"parameters", cluster_.postgres.parameters},
             {"init_sql", init},
             {"primary_host", inner_host(group.primary.ip_address)},
             {"primary_port", docker_ ? kPostgresPort : group.primary.port},
             {"slot", slot_name(node.name)}};
    if (has_failover()) {
      doc["group"] = group.name;
      store_access("store_", doc);
    }
    return doc.dump(2);
  }

  // Who we are at the lease store and who it has to be; balancers of earlier versions refuse keys that they do not
  // know.
  void store_access(const std::string& prefix, json& doc) const {
    const std::string user = has_own_store() ? "pgbalancer" : cluster_.dcs_access.user;
    const auto add = [&](const char* key, const std::string& value) {
      if (!value.empty()) doc[prefix + key] = value;
    };
    add("user", user);
    if (!user.empty()) add("password", secrets_.store_password.reveal());
    add("ca", secrets_.store_ca);
    add("cert", secrets_.store_cert);
    add("key", secrets_.store_key.reveal());
  }

  // Agents choose the primary by themselves.
  bool has_failover() const { return cluster_.ha.failover; }
  bool has_own_store() const { return cluster_.keeps_stores(); }

  // How the units of the cluster reach each other: containers by their addresses in its network.
  std::string inner_host(const std::string& ip_address) const {
    return docker_ ? ip_address : reachable_host(cluster_);
  }
  uint16_t store_port(const model::Balancer& group) const { return docker_ ? kStorePort : ports_.at(group.name); }

  // Where the group's lease store is, who is in the group, and what it promises. No secrets: agents that gave up root
  // read it again while they run.
  std::string group_json(const model::Balancer& group) const {
    const std::string own = "http://" + inner_host(group.ip_address) + ":" + std::to_string(store_port(group));
    json doc{{"store", has_own_store() ? std::vector<std::string>{own} : cluster_.dcs_etcd},
             {"durability", model::to_string(cluster_.durability_of(group))},
             {"lease", cluster_.ha.lease},
             {"lag_limit", cluster_.ha.lag_limit},
             {"members", json::array()}};
    for (const model::Node& node : group.nodes()) {
      doc["members"].push_back({{"name", node.name},
                                {"host", inner_host(node.ip_address)},
                                {"port", docker_ ? kPostgresPort : node.port},
                                {"agent_host", inner_host(node.ip_address)},
                                {"agent_port", docker_ ? kAgentPort : ports_.at(node.name)},
                                {"slot", slot_name(node.name)}});
    }
    return doc.dump(2);
  }

  Result<UnitSpec> make_balancer(const model::Balancer& group) const {
    UnitSpec unit = common(group, group.name);
    unit.kind = UnitSpec::Kind::kBalancer;
    unit.container_name = group.container_name;
    unit.ip_address = group.ip_address;
    unit.ports = {{kBalancerPort, group.port}, {kRestPort, group.rest_api_port}, {kPcpPort, group.pcp_port}};
    if (has_own_store()) {
      unit.ports.emplace_back(kStorePort, ports_.at(group.name));
      unit.volume_at = store_dir(group);
    }
    unit.spec_hash = hash_of(
        unit.container_name + "|" + unit.ip_address + "|" + unit.bind_address + "|" + std::to_string(group.port) + "|" +
        std::to_string(group.rest_api_port) + "|" + std::to_string(group.pcp_port) + "|" +
        (has_own_store() ? std::to_string(ports_.at(group.name)) + "|" : "") +
        std::to_string(group.config.pool.threads) + group.config.pool.scheduling + group.config.pool.io_uring);
    unit.files.push_back({kBalancerFile, balancer_json(group)});
    if (const auto users = pcp_users()) unit.files.push_back({kPcpUsers, *users});
    for (const UserFile& file : files_of(group)) {
      auto content = read_beside(group.name + ".config." + file.key, file.path);
      if (!content.ok()) return std::move(content).error();
      unit.files.push_back({file.kept_as, *content});
    }
    return unit;
  }

  // What the cluster file names beside it; the balancer gets a copy of its own.
  struct UserFile {
    const char* key;
    const std::string& path;
    const char* kept_as;
  };
  static std::vector<UserFile> files_of(const model::Balancer& group) {
    std::vector<UserFile> files = {{"tls_cert_file", group.config.tls_cert_file, kBalancerCertificate},
                                   {"tls_key_file", group.config.tls_key_file, "tls.key"},
                                   {"tls_ca_file", group.config.tls_ca_file, "clients-ca.crt"},
                                   {"hba_file", group.config.hba_file, "hba.conf"}};
    std::vector<UserFile> given;
    for (const UserFile& file : files) {
      if (!file.path.empty()) given.push_back(file);
    }
    return given;
  }

  static constexpr char kPcpUsers[] = "pcp.conf";

  // The superuser operates the balancers, too, by PCP and at the console. Nothing where there is no MD5.
  std::optional<std::string> pcp_users() const {
    const auto hash = pgwire::md5_hex(secrets_.superuser_password.reveal());
    if (!hash) return std::nullopt;
    return cluster_.postgres.superuser + ":" + *hash + "\n";
  }

  // Where it finds its files.
  std::string balancer_dir(const model::Balancer& group) const {
    return docker_ ? std::string("/") + runtime::kUnitDir
                   : runtime::process_unit_dir(session_.state_dir, cluster_.cluster_name, group.name);
  }
  static json pool_entry(const model::PoolEntry& entry) {
    json doc = json::object();
    if (!entry.database.empty()) doc["database"] = entry.database;
    if (!entry.user.empty()) doc["user"] = entry.user;
    model::each_pool_entry_key(entry, [&doc](const char* key, const auto& value) {
      if (value) doc[key] = *value;
    });
    return doc;
  }

  std::string store_dir(const model::Balancer& group) const { return balancer_dir(group) + "/store"; }

  std::string balancer_json(const model::Balancer& group) const {
    json nodes = json::array();
    for (const model::Node& node : group.nodes()) {
      nodes.push_back({{"name", node.name},
                       {"host", inner_host(node.ip_address)},
                       {"port", docker_ ? kPostgresPort : node.port},
                       {"weight", node.weight}});
    }
    json doc{{"group", group.name},
             {"listen_address", docker_ ? "0.0.0.0" : cluster_.bind_address},
             {"port", docker_ ? kBalancerPort : group.port},
             {"rest_address", docker_ ? "0.0.0.0" : cluster_.bind_address},
             {"rest_port", docker_ ? kRestPort : group.rest_api_port},
             {"token", secrets_.balancer_token.reveal()},
             {"read_write_split", group.config.load_balance_mode},
             {"auth_password", secrets_.balancer_password.reveal()},
             {"nodes", nodes}};
    model::each_pool_key(group.config.pool, [&doc](const char* key, const auto& value) { doc[key] = value; });
    for (const model::PoolEntry& entry : group.config.pools) doc["pools"].push_back(pool_entry(entry));
    const std::string dir = balancer_dir(group);
    for (const UserFile& file : files_of(group)) doc[file.key] = dir + "/" + file.kept_as;
    if (!secrets_.stats_token.empty()) doc["stats_token"] = secrets_.stats_token.reveal();
    doc["admin_users"] = group.config.admin_users;
    doc["admin_users"].push_back(cluster_.postgres.superuser);
    // Only where it says something: balancers of earlier versions refuse keys that they do not know, and one may run.
    if (!group.config.stats_users.empty()) doc["stats_users"] = group.config.stats_users;
    if (pcp_users()) {
      doc["pcp_address"] = docker_ ? "0.0.0.0" : cluster_.bind_address;
      doc["pcp_port"] = docker_ ? kPcpPort : group.pcp_port;
      doc["pcp_users_file"] = dir + "/" + kPcpUsers;
      if (group.config.pcp_version != model::BalancerConfig().pcp_version)
        doc["pcp_version"] = group.config.pcp_version;
    }
    if (has_own_store()) {
      doc["store_dir"] = store_dir(group);
      doc["store_address"] = docker_ ? "0.0.0.0" : cluster_.bind_address;
      doc["store_port"] = store_port(group);
      doc["store_password"] = secrets_.store_password.reveal();
    }
    if (cluster_.ha.failover && !cluster_.dcs_etcd.empty()) {
      doc["etcd"] = cluster_.dcs_etcd;
      store_access("etcd_", doc);
    }
    if (!has_own_store()) doc["cluster"] = cluster_.cluster_name;  // else it finds the name there
    doc["tls_mode"] = group.config.tls_mode;
    doc["tls_client_certs"] = group.config.tls_client_certs;
    if (group.config.rest_tls) doc["rest_tls"] = true;
    if (docker_) {
      doc["run_as_user"] = runtime::kBalancerUser;
      doc["run_as_group"] = runtime::kBalancerUser;
    }
    return doc.dump(2);
  }

  const Session& session_;
  const model::Cluster& cluster_;
  const Secrets& secrets_;
  const UnitMap& existing_;
  const bool docker_;
  std::vector<std::string> init_names_;
  std::vector<runtime::FileSpec> init_files_;
  std::map<std::string, uint16_t> ports_;  // of an agent by its node's name, of a lease store by its balancer's
};

}  // namespace

// A name that has to be altered gets a number of its own: "a-b" and "a_b" must not share a slot.
std::string slot_name(const std::string& node) {
  constexpr size_t kLongest = 63, kNumber = 9;
  std::string slot;
  bool altered = false;
  for (const char c : node) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    altered = altered || !plain;
    slot.push_back(plain ? c : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : '_');
  }
  if (!altered && slot.size() <= kLongest) return slot;
  return slot.substr(0, kLongest - kNumber) + "_" + hash_of(node).substr(0, kNumber - 1);
}

Result<UnitMap> existing_units(const Session& session, Deadline deadline) {
  auto listed = session.runtime->list(session.wanted.cluster_name, deadline);
  if (!listed.ok()) return std::move(listed).error();
  UnitMap units;
  for (const runtime::UnitInfo& unit : *listed) units[unit.name] = unit;
  return units;
}

bool runs(const UnitMap& units, const std::string& name) {
  const auto found = units.find(name);
  return found != units.end() && found->second.state == runtime::UnitState::kRunning;
}

Result<std::vector<UnitSpec>> make_units(const Session& session, const model::Cluster& cluster, const Secrets& secrets,
                                         const UnitMap& existing) {
  return UnitMaker(session, cluster, secrets, existing).all();
}

std::string reachable_host(const model::Cluster& cluster) {
  return cluster.bind_address == "0.0.0.0" ? "127.0.0.1" : cluster.bind_address;
}

pgclient::ConnInfo server_conninfo(const model::Cluster& cluster, const Secrets& secrets, uint16_t port) {
  pgclient::ConnInfo info;
  info.host = reachable_host(cluster);
  info.port = port;
  info.user = cluster.postgres.superuser;
  info.password = secrets.superuser_password;
  info.database = cluster.postgres.database;
  info.application_name = "pgbalancer_cluster";
  return info;
}

pgclient::ConnInfo balancer_conninfo(const model::Cluster& cluster, const Secrets& secrets,
                                     const model::Balancer& balancer) {
  pgclient::ConnInfo info = server_conninfo(cluster, secrets, balancer.port);
  if (balancer.config.tls_mode != "require") return info;
  // Whose certificate it is does not matter here: it is asked whether it serves. It gets no password in clear.
  auto tls = net::TlsContext::client(net::TlsClientFiles());
  if (tls.ok()) info.tls = {std::move(*tls), true};
  return info;
}

api::AgentAddress agent_address(const model::Cluster& cluster, const Secrets& secrets, const runtime::UnitInfo& unit) {
  api::AgentAddress address;
  address.host = reachable_host(cluster);
  const auto port = unit.ports.find(kAgentPort);
  address.port = port == unit.ports.end() ? uint16_t{0} : port->second;
  address.token = secrets.agent_token;
  return address;
}

}  // namespace pgb::cluster
