#include "model/key_table.h"

#include "model/pool_config.h"

namespace pgb::model {

const Key* KeyTable::find(std::string_view name) const {
  for (const auto& key : keys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::vector<std::string_view> KeyTable::names() const {
  std::vector<std::string_view> all;
  for (const auto& key : keys) all.push_back(key.name);
  return all;
}

namespace {

constexpr double kMaxBalancers = 64;
constexpr double kMaxReplicas = 64;
constexpr double kMaxClients = 100000;
constexpr double kMaxSeconds = 31536000;  // a year
constexpr double kMaxLagBytes = 1e15;

const KeyTable& network_keys() {
  static const KeyTable table{
      "network",
      {{"name", Kind::kName, "", "`<cluster_name>_net`", "name of the container network", 1, 128},
       {"subnet", Kind::kSubnet, R"("172.31.0.0/16")", "",
        "its IPv4 addresses, a /8 to /28; the first one is the gateway's"}}};
  return table;
}

const KeyTable& postgres_keys() {
  static const KeyTable table{
      "postgres",
      {{"image", Kind::kText, R"("postgres:17")", "", "container image of the servers"},
       {"bin_dir", Kind::kText, "", "the newest found", "folder of the server programs, for the process runtime"},
       {"database", Kind::kText, R"("testdb")", "", "database made on the new primary", 1, 63},
       {"superuser", Kind::kText, R"("postgres")", "", "name of the superuser", 1, 63},
       {"password", Kind::kPassword, "", "generated", "the superuser's password"},
       {"replication_user", Kind::kText, R"("replicator")", "", "role the replicas stream with", 1, 63},
       {"replication_password", Kind::kPassword, "", "generated", "that role's password"},
       {"parameters", Kind::kParameters, "", "see below", "server settings, added to the defaults"},
       {"init_sql", Kind::kTexts, "[]", "", "SQL files run once on the new primary, relative to the cluster file", 0,
        1000}}};
  return table;
}

const KeyTable& ha_keys() {
  static const KeyTable table{
      "ha",
      {{"failover", Kind::kBool, "true", "",
        "agents choose the primary and keep `durability`; false: roles stay as in the file, replication is "
        "asynchronous"},
       {"lease", Kind::kNumber, "3", "", "seconds after which a leader that cannot renew its lease has lost it", 2,
        600},
       {"lag_limit", Kind::kWhole, "16777216", "",
        "bytes of WAL that a failover may lose where `durability` is `async`: a replica that is farther behind its "
        "primary than was known last does not take over",
        0, kMaxLagBytes},
       {"loop", Kind::kNumber, "", "none",
        "no effect: how often agents look at the group follows from the lease; known because files of before have it",
        0.1, 60}}};
  return table;
}

// In the cluster file two defaults follow from the keys of old.
Key pool_key_of_config(Key key) {
  if (key.name == "pool_size") {
    key.fallback = "";
    key.fallback_note = "20, or `num_init_children` × `max_pool` if that is less";
  } else if (key.name == "max_clients") {
    key.fallback = "";
    key.fallback_note = "`num_init_children`, else 1000";
  }
  return key;
}

// Of databases and users: what they do not say is as beside them.
KeyTable make_pool_entry_keys() {
  KeyTable table{"balancers[].config.pools[]",
                 {{"database", Kind::kText, "", "any", "name of the database", 1, 63},
                  {"user", Kind::kText, "", "any", "name of the user; one of the two must be there", 1, 63}}};
  PoolEntry entry;
  each_pool_entry_key(entry, [&table](const char* name, const auto&) {
    Key key = *pool_keys().find(name);
    key.fallback = "";
    key.fallback_note = "that of `config`";
    table.keys.push_back(std::move(key));
  });
  return table;
}

KeyTable make_config_keys() {
  static const KeyTable kPoolEntry = make_pool_entry_keys();
  KeyTable table{
      "balancers[].config",
      {{"num_init_children", Kind::kWhole, "", "none",
        "clients served at the same time: what `max_clients` is by default", 1, 100000},
       {"max_pool", Kind::kWhole, "4", "",
        "no number of servers of its own: with `num_init_children` it bounds the default of `pool_size`", 1, 1000},
       {"load_balance_mode", Kind::kSwitch, "true", "", "send reads to replicas"}}};
  for (const Key& key : pool_keys().keys) table.keys.push_back(pool_key_of_config(key));
  table.keys.push_back({"pools",
                        Kind::kObjects,
                        "",
                        "none",
                        "what is different for some databases and users: the first that fits counts",
                        0,
                        1000,
                        {},
                        &kPoolEntry});
  table.keys.push_back(
      {"tls_cert_file", Kind::kText, "", "no TLS", "certificate shown to clients (PEM), relative to the cluster file"});
  table.keys.push_back({"tls_key_file", Kind::kText, "", "no TLS", "its private key (PEM); both or none"});
  table.keys.push_back({"tls_mode",
                        Kind::kChoice,
                        R"("allow")",
                        "",
                        "clients get no TLS, may use it, must use it",
                        0,
                        0,
                        {"disable", "allow", "require"}});
  table.keys.push_back(
      {"tls_client_certs",
       Kind::kChoice,
       R"("none")",
       "",
       "whether clients are asked for a certificate; which of them need one, the rules of `hba_file` say",
       0,
       0,
       {"none", "optional"}});
  table.keys.push_back({"tls_ca_file", Kind::kText, "", "none", "authorities that vouch for these certificates (PEM)"});
  table.keys.push_back(
      {"rest_tls", Kind::kBool, "false", "",
       "REST, metrics and web page by TLS, with that certificate; `pgbalancer_cluster` takes no other"});
  table.keys.push_back({"hba_file", Kind::kText, "", "SCRAM-SHA-256 for everyone",
                        "rules in the manner of pg_hba.conf, see [balancer-file.md](balancer-file.md)"});
  table.keys.push_back(
      {"admin_users", Kind::kTexts, "[]", "", "who gives commands at the console and by REST, beside the superuser"});
  table.keys.push_back({"stats_users", Kind::kTexts, "[]", "", "who may look there"});
  table.keys.push_back({"pcp_version",
                        Kind::kChoice,
                        "",
                        "that of the `pcp_*` commands on this machine when the cluster is made, else 4.4",
                        "version of pgpool-II whose `pcp_*` commands ask: `4.3`, or `4.4` for all later ones",
                        0,
                        0,
                        {"4.3", "4.4"}});
  return table;
}

const KeyTable& config_keys() {
  static const KeyTable table = make_config_keys();
  return table;
}

const KeyTable& primary_keys() {
  static const KeyTable table{
      "balancers[].primary",
      {{"host", Kind::kName, "", "`primary1`, …", "host name, unique in the file", 1, 63},
       {"port", Kind::kPort, "", "15432, 25432, …", "published port"},
       {"container_name", Kind::kName, "", "the host", "name of its container", 1, 63},
       {"ip_address", Kind::kAddress, "", "the subnet's .1.20, .2.20, …", "address inside network.subnet"},
       {"weight", Kind::kNumber, "1", "", "its share of the reads", 0, 1000}}};
  return table;
}

const KeyTable& replica_keys() {
  static const KeyTable table{
      "balancers[].replicas[]",
      {{"node_id", Kind::kWhole, "", "counts from 1", "number, unique in the group; 0 is the primary", 1, 1000000},
       {"host", Kind::kName, "", "`replica1`, …", "host name, unique in the file", 1, 63},
       {"port", Kind::kPort, "", "15433, 15434, …", "published port"},
       {"container_name", Kind::kName, "", "the host", "name of its container", 1, 63},
       {"ip_address", Kind::kAddress, "", "the subnet's .1.21, .1.22, …", "address inside network.subnet"},
       {"weight", Kind::kNumber, "1", "", "its share of the reads", 0, 1000}}};
  return table;
}

const KeyTable& balancer_keys() {
  static const KeyTable table{
      "balancers[]",
      {{"name", Kind::kName, "", "`lb1`, `lb2`, …", "name, unique in the file", 1, 63},
       {"container_name", Kind::kName, "", "`pgbalancer_<name>`", "name of its container", 1, 80},
       {"ip_address", Kind::kAddress, "", "the subnet's .1.10, .2.10, …", "address inside network.subnet"},
       {"port", Kind::kPort, "", "19999, 29999, …", "port for PostgreSQL clients"},
       {"pcp_port", Kind::kPort, "", "19898, 29898, …", "port for the pcp_* commands"},
       {"rest_api_port", Kind::kPort, "", "18080, 28080, …", "port of REST API, metrics and web page"},
       {"config", Kind::kObject, "", "", "the pooler's own settings", 0, 0, {}, &config_keys()},
       {"primary", Kind::kObject, "", "", "the group's first primary", 0, 0, {}, &primary_keys()},
       {"replicas", Kind::kObjects, "", "two", "its replicas; `[]` for none", 0, kMaxReplicas, {}, &replica_keys()}}};
  return table;
}

}  // namespace

const KeyTable& pool_keys() {
  static const KeyTable table{
      "The pooler",
      {{"pool_mode",
        Kind::kChoice,
        R"("transaction")",
        "",
        "how long a client keeps its server: until it leaves, until its transaction ends, or its statement",
        0,
        0,
        {"session", "transaction", "statement"}},
       {"pool_size", Kind::kWhole, "20", "", "servers kept for one database, user and node", 1, kMaxClients},
       {"min_pool_size", Kind::kWhole, "0", "",
        "opened of these before they are needed, and again when they are lost; at most `pool_size`", 0, kMaxClients},
       {"reserve_pool_size", Kind::kWhole, "0", "", "more servers, for clients that wait too long", 0, kMaxClients},
       {"reserve_pool_timeout", Kind::kNumber, "5", "", "seconds: too long for that; 0: the reserve stays unused", 0,
        kMaxSeconds},
       {"max_clients", Kind::kWhole, "1000", "", "clients at the same time", 1, kMaxClients},
       {"max_user_clients", Kind::kWhole, "0", "", "of these with the same user; 0: any number", 0, kMaxClients},
       {"max_database_clients", Kind::kWhole, "0", "", "of these at the same database; 0: any number", 0, kMaxClients},
       {"query_wait_timeout", Kind::kNumber, "120", "", "seconds a client waits for a free server; 0: any time", 0,
        kMaxSeconds},
       {"primary_wait_timeout", Kind::kNumber, "10", "",
        "seconds new work waits while the group has no primary; 0: any time", 0, kMaxSeconds},
       {"query_timeout", Kind::kNumber, "0", "", "seconds a statement may take; 0: any time", 0, kMaxSeconds},
       {"client_idle_timeout", Kind::kNumber, "0", "", "seconds a client may be idle; 0: any time", 0, kMaxSeconds},
       {"idle_transaction_timeout", Kind::kNumber, "0", "",
        "seconds a client may be idle in a transaction; 0: any time", 0, kMaxSeconds},
       {"server_idle_timeout", Kind::kNumber, "600", "", "seconds after which an unused server is closed; 0: never", 0,
        kMaxSeconds},
       {"server_lifetime", Kind::kNumber, "3600", "",
        "seconds after which a server is closed once it is free; 0: never", 0, kMaxSeconds},
       {"server_check_delay", Kind::kNumber, "30", "",
        "seconds: a server unused for longer is asked for a sign of life before it is used; 0: never", 0, kMaxSeconds},
       {"max_prepared_statements", Kind::kWhole, "200", "",
        "prepared statements kept on one server; 0: those of clients are not tracked", 0, kMaxClients},
       {"causal_reads",
        Kind::kChoice,
        R"("session")",
        "",
        "no client reads what is older than its own writes (session), or than anyone's (global)",
        0,
        0,
        {"off", "session", "global"}},
       {"max_replica_lag", Kind::kNumber, "10", "", "seconds: a replica further behind gets no reads; 0: no limit", 0,
        kMaxSeconds},
       {"max_replica_lag_bytes", Kind::kWhole, "0", "", "the same in bytes of WAL; 0: no limit", 0, kMaxLagBytes},
       {"log_slow_queries", Kind::kNumber, "0", "", "seconds: statements that take longer are logged; 0: none", 0,
        kMaxSeconds},
       {"threads", Kind::kWhole, "0", "",
        "threads that serve clients; 0: one for two cores, for the servers need more; read at the start only", 0, 256},
       {"scheduling",
        Kind::kChoice,
        R"("batch")",
        "",
        "batch: the threads do not push others off their cores for every message, and do more at a time; normal: they "
        "do; read at the start only",
        0,
        0,
        {"batch", "normal"}},
       {"io_uring",
        Kind::kChoice,
        R"("auto")",
        "",
        "auto: messages go out many at a time where the kernel has io_uring; read at the start only",
        0,
        0,
        {"auto", "off"}}}};
  return table;
}

const KeyTable& cluster_keys() {
  static const KeyTable table{
      "The file",
      {{"cluster_name", Kind::kName, "", "", "name of the cluster", 1, 63, {}, nullptr, true},
       {"network", Kind::kObject, "", "", "the container network", 0, 0, {}, &network_keys()},
       {"runtime",
        Kind::kChoice,
        R"("auto")",
        "",
        "containers, or plain local processes; auto takes Docker if it answers",
        0,
        0,
        {"auto", "docker", "process"}},
       {"bind_address", Kind::kAddress, R"("127.0.0.1")", "", "where published ports listen"},
       {"postgres", Kind::kObject, "", "", "the servers", 0, 0, {}, &postgres_keys()},
       {"durability",
        Kind::kChoice,
        R"("quorum")",
        "",
        "`quorum`: in groups of two replicas or more a commit waits for half of them, rounded up (one of two, two of "
        "three), of fewer while some are away; "
        "`strict`: always, with one replica, too; smaller groups are `async`",
        0,
        0,
        {"async", "quorum", "strict"}},
       {"protect", Kind::kBool, "false", "", "refuse to destroy this cluster"},
       {"ha", Kind::kObject, "", "", "failover", 0, 0, {}, &ha_keys()},
       {"dcs", Kind::kDcs, R"("embedded")", "", "where the leader lease is kept: embedded, or {\"etcd\": [urls]}"},
       {"balancers",
        Kind::kObjects,
        "",
        "one",
        "the balancers, each with its group of servers",
        1,
        kMaxBalancers,
        {},
        &balancer_keys()}}};
  return table;
}

const std::vector<OwnedParameter>& owned_parameters() {
  static const std::vector<OwnedParameter> table = {
      {"port", "it is the node's own \"port\""},
      {"listen_addresses", "it follows from the runtime and \"bind_address\""},
      {"data_directory", "the agent chooses it"},
      {"config_file", "the agent writes it"},
      {"hba_file", "the agent writes it"},
      {"ident_file", "the agent writes it"},
      {"external_pid_file", "the agent is the server's parent"},
      {"unix_socket_directories", "the agent chooses it"},
      {"cluster_name", "it is the node's host name"},
      {"logging_collector", "the server logs to the agent"},
      {"primary_conninfo", "it follows from who is primary"},
      {"primary_slot_name", "it follows from who is primary"},
      {"recovery_target_timeline", "replicas always follow the newest timeline"},
      {"synchronous_standby_names", "it follows from \"durability\""},
  };
  return table;
}

const std::vector<DefaultParameter>& default_parameters() {
  static const std::vector<DefaultParameter> table = {
      {"hot_standby", "on"},           {"log_timezone", "UTC"},   {"max_connections", "200"},
      {"max_replication_slots", "10"}, {"max_wal_senders", "10"}, {"password_encryption", "scram-sha-256"},
      {"wal_level", "replica"},        {"wal_log_hints", "on"},   {"wal_sender_timeout", "5s"},
  };
  return table;
}

}  // namespace pgb::model
