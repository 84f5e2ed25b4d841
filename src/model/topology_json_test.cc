#include "model/topology_json.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <set>
#include <sstream>

#include "base/strings.h"
#include "model/ipv4.h"
#include "model/key_table.h"
#include "model/schema.h"

namespace pgb::model {
namespace {

const std::string kRoot = PGB_SOURCE_DIR;

std::string slurp(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  EXPECT_TRUE(in.is_open()) << file;
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string messages(std::string_view text) {
  std::string out;
  for (const auto& mistake : parse_cluster(text).mistakes) out += mistake.str("f") + "\n";
  return out;
}

Cluster good(std::string_view text) {
  auto parsed = parse_cluster(text);
  EXPECT_EQ(messages(text), "") << text;
  return parsed.cluster;
}

// "<<FF>>" is the byte 0xFF.
std::string with_bytes(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "<<") == 0 && text.compare(i + 4, 2, ">>") == 0) {
      out += static_cast<char>(std::stoi(text.substr(i + 2, 2), nullptr, 16));
      i += 5;
    } else {
      out += text[i];
    }
  }
  return out;
}

TEST(ClusterFile, EveryWrongFileGetsExactlyItsMessages) {
  const auto text = slurp(kRoot + "/tests/corpus/cluster_file/cases.txt");
  int count = 0;
  size_t at = text.find("\n=== ");
  while (at != std::string::npos) {
    const size_t next = text.find("\n=== ", at + 1);
    const auto one = text.substr(at + 5, next == std::string::npos ? next : next - at - 5);
    const size_t body = one.find('\n') + 1;
    const size_t ruler = one.find("\n---\n", body - 1);
    ASSERT_NE(ruler, std::string::npos) << one;
    const auto input = ruler < body ? "" : one.substr(body, ruler - body);
    std::string expected(trim(one.substr(ruler + 5)));
    EXPECT_FALSE(expected.empty()) << one.substr(0, body);
    EXPECT_EQ(messages(with_bytes(input)), expected + "\n") << one.substr(0, body);
    ++count;
    at = next;
  }
  EXPECT_GE(count, 60);
}

TEST(ClusterFile, HugeAndDeepFilesAreRefusedQuickly) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(messages(std::string(50 << 20, ' ')), "f: the file is larger than 16 MiB; this is not a cluster file\n");
  EXPECT_EQ(messages(std::string(100000, '[')), "f:1:65: nested more than 64 levels deep; a cluster file needs 7\n");
  std::string many = "{\"cluster_name\": \"demo\", \"balancers\": [0";
  for (int i = 0; i < 1000000; ++i) many += ",0";
  EXPECT_NE(messages(many + "]}").find("more than 200000 values"), std::string::npos);
  std::string keys = "{\"cluster_name\": \"demo\"";
  for (int i = 0; i < 20000; ++i) keys += ",\n\"key" + std::to_string(i) + "\": 1";
  EXPECT_EQ(parse_cluster(keys + "}").mistakes.size(), 101U);
  const std::string long_key(1 << 20, 'k');
  EXPECT_LT(messages("{\"cluster_name\": \"demo\", \"" + long_key + "\": 1}").size(), 1000U);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(ClusterFile, NoPrefixOfAGoodFileIsAccepted) {
  const auto text = std::string(trim(slurp(kRoot + "/examples/simple/pgbalancer_cluster_simple.json")));
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(parse_cluster(text.substr(0, length)).mistakes.empty()) << length;
  }
}

TEST(ClusterFile, TheSimpleExampleSaysWhatItSays) {
  const auto cluster = good(slurp(kRoot + "/examples/simple/pgbalancer_cluster_simple.json"));
  EXPECT_EQ(cluster.cluster_name, "pgbalancer_simple_cluster");
  EXPECT_EQ(cluster.network, (Network{"pgbalancer_simple_net", "172.31.0.0/16"}));
  ASSERT_EQ(cluster.balancers.size(), 1U);
  const auto& lb = cluster.balancers[0];
  EXPECT_EQ(lb.container_name, "pgbalancer_lb1");
  EXPECT_EQ(std::vector<int>({lb.port, lb.pcp_port, lb.rest_api_port}), std::vector<int>({19999, 19898, 18080}));
  EXPECT_EQ(lb.config.num_init_children, 16);
  EXPECT_EQ(lb.config.max_pool, 2);
  EXPECT_TRUE(lb.config.load_balance_mode);
  ASSERT_EQ(lb.replicas.size(), 2U);
  EXPECT_EQ(lb.primary, (Node{0, "primary1", "primary1", "172.31.1.20", 15432, Role::kPrimary, 1}));
  EXPECT_EQ(lb.replicas[1], (Node{2, "replica2", "replica2", "172.31.1.22", 15434, Role::kReplica, 1}));
  EXPECT_EQ(cluster.durability, Durability::kQuorum);
  EXPECT_EQ(cluster.postgres.init_sql, std::vector<std::string>{"init.sql"});
  EXPECT_EQ(cluster.postgres.parameters.at("wal_log_hints"), "on");
  EXPECT_EQ(cluster.postgres.parameters.at("wal_sender_timeout"), "5s");
  EXPECT_FALSE(cluster.postgres.parameters.contains("max_slot_wal_keep_size")) << "each server goes by its own disk";
}

TEST(ClusterFile, ANameIsAWholeFile) {
  const auto demo = good(slurp(kRoot + "/examples/minimal/pgbalancer_cluster.json"));
  auto simple = good(slurp(kRoot + "/examples/simple/pgbalancer_cluster_simple.json"));
  EXPECT_EQ(demo.network.name, "demo_net");
  simple.balancers[0].config = BalancerConfig{};
  EXPECT_EQ(demo.balancers, simple.balancers);
}

TEST(ClusterFile, TheProductionExampleHasTwoGroups) {
  const auto cluster = good(slurp(kRoot + "/examples/production/pgbalancer_cluster_production.json"));
  ASSERT_EQ(cluster.balancers.size(), 2U);
  EXPECT_EQ(cluster.durability_of(cluster.balancers[0]), Durability::kQuorum);
  EXPECT_EQ(cluster.durability_of(cluster.balancers[1]), Durability::kAsync);
  EXPECT_EQ(cluster.find_balancer("lb2")->nodes().size(), 2U);
  EXPECT_EQ(cluster.find_balancer("lb3"), nullptr);
}

void expect_no_collisions(const Cluster& cluster) {
  std::set<std::string> names, containers, addresses;
  std::set<int> ports;
  size_t members = 0;
  size_t open_ports = 0;
  for (const auto& b : cluster.balancers) {
    names.insert(b.name), containers.insert(b.container_name), addresses.insert(b.ip_address);
    ports.insert({b.port, b.pcp_port, b.rest_api_port});
    ++members, open_ports += 3;
    std::set<int> ids;
    for (const auto& n : b.nodes()) {
      names.insert(n.name), containers.insert(n.container_name), addresses.insert(n.ip_address), ports.insert(n.port);
      ++members, ++open_ports;
      EXPECT_TRUE(ids.insert(n.node_id).second);
      EXPECT_TRUE(parse_subnet(cluster.network.subnet)->holds(parse_ipv4(n.ip_address).value_or(0)));
    }
  }
  EXPECT_EQ(names.size(), members);
  EXPECT_EQ(containers.size(), members);
  EXPECT_EQ(addresses.size(), members);
  EXPECT_EQ(ports.size(), open_ports);
  EXPECT_EQ(ports.count(0), 0U);
}

TEST(ClusterFile, WhatIsLeftOpenNeverCollidesWithWhatIsGiven) {
  const auto cluster = good(R"({"cluster_name": "demo", "balancers": [{}, {"name": "lb1", "port": 15432, "primary":
      {"host": "primary1", "container_name": "replica1", "ip_address": "172.31.1.10"},
      "replicas": [{"node_id": 2}, {}, {"node_id": 1}]}, {"replicas": []}]})");
  expect_no_collisions(cluster);
  EXPECT_EQ(cluster.balancers[0].primary.port, 15433);
  EXPECT_EQ(cluster.balancers[1].replicas[1].node_id, 3);
  EXPECT_TRUE(cluster.balancers[2].replicas.empty());
  EXPECT_EQ(cluster.balancers[2].port, 39999);
  std::string many = R"({"cluster_name": "demo", "balancers": [{})";
  for (int i = 1; i < 64; ++i) many += ", {}";
  expect_no_collisions(good(many + "]}"));
  expect_no_collisions(
      good(R"({"cluster_name": "demo", "network": {"subnet": "10.9.8.16/28"}, "balancers": [{}, {}]})"));
}

const char* const kEverything = R"({"cluster_name": "all", "runtime": "process", "bind_address": "0.0.0.0",
  "protect": true, "durability": "async", "ha": {"failover": false, "lease": 5, "lag_limit": 1000, "loop": 0.5}, "dcs": {"etcd": ["https://a:2379"],
  "ca_file": "ca.pem", "cert_file": "our.pem", "key_file": "our.key", "user": "agents", "password": {"env": "STORE"}},
  "postgres": {"image": "x:1", "bin_dir": "/a \"b\"", "database": "d\u00e9", "superuser": "s",
    "password": {"env": "PGPW"}, "replication_user": "r", "replication_password": {"file": "pw"},
    "parameters": {"Work_Mem": "4MB", "max_connections": 50, "fsync": false}, "init_sql": ["a.sql"]},
  "balancers": [{"config": {"load_balance_mode": "off", "pool_mode": "statement", "pool_size": 7, "min_pool_size": 2,
      "reserve_pool_size": 3, "reserve_pool_timeout": 0.25, "max_clients": 500, "max_user_clients": 50,
      "max_database_clients": 60, "query_wait_timeout": 1.5, "primary_wait_timeout": 3.5, "query_timeout": 2.5, "client_idle_timeout": 3,
      "idle_transaction_timeout": 4, "server_idle_timeout": 5, "server_lifetime": 6, "server_check_delay": 7,
      "max_prepared_statements": 8, "causal_reads": "global", "max_replica_lag": 0.5,
      "max_replica_lag_bytes": 16000000000, "log_slow_queries": 0.001, "threads": 9, "scheduling": "normal", "io_uring": "off",
      "pools": [{"database": "d", "user": "u", "pool_mode": "session", "pool_size": 6, "min_pool_size": 1, "reserve_pool_size": 2},
        {"user": "v", "reserve_pool_size": 0}],
      "tls_cert_file": "c", "tls_key_file": "k", "rest_tls": true},
    "replicas": [{"weight": 2.5}]}]})";

TEST(ClusterFile, EveryKeyIsRead) {
  const auto c = good(kEverything);
  EXPECT_EQ(c.runtime, RuntimeKind::kProcess);
  EXPECT_TRUE(c.protect);
  EXPECT_EQ(c.durability, Durability::kAsync);
  EXPECT_EQ(c.ha, (Ha{false, 5, 1000}));
  EXPECT_EQ(c.dcs_etcd, std::vector<std::string>{"https://a:2379"});
  EXPECT_EQ(c.dcs_access.ca_file, "ca.pem");
  EXPECT_EQ(c.dcs_access.cert_file, "our.pem");
  EXPECT_EQ(c.dcs_access.key_file, "our.key");
  EXPECT_EQ(c.dcs_access.user, "agents");
  EXPECT_EQ(c.dcs_access.password.name, "STORE");
  EXPECT_EQ(c.postgres.bin_dir, "/a \"b\"");
  EXPECT_EQ(c.postgres.database, "d\xc3\xa9");
  EXPECT_EQ(c.postgres.password.kind, PasswordSource::Kind::kEnv);
  EXPECT_EQ(c.postgres.replication_password.name, "pw");
  EXPECT_EQ(c.postgres.parameters.at("work_mem"), "4MB");
  EXPECT_EQ(c.postgres.parameters.at("max_connections"), "50");
  EXPECT_EQ(c.postgres.parameters.at("fsync"), "off");
  EXPECT_EQ(c.postgres.parameters.at("wal_level"), "replica");
  EXPECT_FALSE(c.balancers[0].config.load_balance_mode);
  EXPECT_EQ(c.balancers[0].config.tls_key_file, "k");
  EXPECT_TRUE(c.balancers[0].config.rest_tls);
  EXPECT_EQ(c.balancers[0].replicas[0].weight, 2.5);
}

TEST(ClusterFile, EveryKeyOfThePoolerIsRead) {
  const PoolConfig pool = good(kEverything).balancers[0].config.pool;
  const PoolConfig defaults;
  std::string values;
  each_pool_key(pool, [&values](const char*, const auto& value) {
    std::ostringstream out;
    out << value << ' ';
    values += out.str();
  });
  EXPECT_EQ(values,
            "statement 7 2 3 0.25 500 50 60 1.5 3.5 2.5 3 4 5 6 7 8 global 0.5 16000000000 0.001 9 normal off ");
  EXPECT_EQ(good(R"({"cluster_name": "demo"})").balancers[0].config.pool, defaults);
}

TEST(ClusterFile, PoolsOfSomeAreRead) {
  const auto pools = good(kEverything).balancers[0].config.pools;
  ASSERT_EQ(pools.size(), 2U);
  EXPECT_EQ(pools[0], (PoolEntry{"d", "u", "session", 6, 1, 2}));
  EXPECT_EQ(pools[1], (PoolEntry{"", "v", std::nullopt, std::nullopt, std::nullopt, 0}));
}

PoolConfig pool_of(const std::string& config) {
  return good(R"({"cluster_name": "demo", "balancers": [{"config": )" + config + "}]}").balancers[0].config.pool;
}

TEST(ClusterFile, TheKeysOfOldKeepAMeaning) {
  EXPECT_EQ(pool_of("{}").max_clients, 1000U);
  EXPECT_EQ(pool_of(R"({"max_pool": 1})").pool_size, 20U) << "alone it bounds nothing";
  EXPECT_EQ(pool_of(R"({"max_pool": 1})").max_clients, 1000U);
  EXPECT_EQ(pool_of(R"({"num_init_children": 16})").max_clients, 16U);
  EXPECT_EQ(pool_of(R"({"num_init_children": 16, "max_pool": 2})").pool_size, 20U);
  EXPECT_EQ(pool_of(R"({"num_init_children": 3})").pool_size, 12U);
  EXPECT_EQ(pool_of(R"({"num_init_children": 100000, "max_pool": 1000})").pool_size, 20U);
  EXPECT_EQ(pool_of(R"({"num_init_children": 3, "max_pool": 2})").pool_size, 6U);
  const PoolConfig both = pool_of(R"({"num_init_children": 3, "max_clients": 70, "pool_size": 50})");
  EXPECT_EQ(both.max_clients, 70U);
  EXPECT_EQ(both.pool_size, 50U);
}

TEST(ClusterFile, AgentsChooseThePrimaryUnlessTheFileOrTheReaderSaysOtherwise) {
  const std::string silent = R"({"cluster_name": "demo"})";
  EXPECT_TRUE(good(silent).ha.failover);
  EXPECT_FALSE(parse_cluster(silent, {false}).cluster.ha.failover);
  EXPECT_TRUE(parse_cluster(R"({"cluster_name": "demo", "ha": {"failover": true}})", {false}).cluster.ha.failover);
  EXPECT_FALSE(good(R"({"cluster_name": "demo", "ha": {"failover": false}})").ha.failover);
}

TEST(ClusterFile, DurabilityFollowsTheSizeOfTheGroup) {
  const auto of = [](const std::string& members, const std::string& replicas) {
    const auto cluster =
        good(R"({"cluster_name": "demo")" + members + R"(, "balancers": [{"replicas": [)" + replicas + "]}]}");
    return cluster.durability_of(cluster.balancers[0]);
  };
  const std::string strict = R"(, "durability": "strict")";
  EXPECT_EQ(of("", "{}, {}"), Durability::kQuorum);
  EXPECT_EQ(of("", "{}"), Durability::kAsync);
  EXPECT_EQ(of("", ""), Durability::kAsync);
  EXPECT_EQ(of(R"(, "durability": "async")", "{}, {}"), Durability::kAsync);
  EXPECT_EQ(of(strict, "{}"), Durability::kStrict);
  EXPECT_EQ(of(strict, ""), Durability::kAsync);
  EXPECT_EQ(of(strict + R"(, "ha": {"failover": false})", "{}, {}"), Durability::kAsync) << "nobody would keep it";
}

TEST(ClusterFile, PrintedAndReadAgainItIsTheSame) {
  for (const std::string& text : {std::string(kEverything), std::string(R"({"cluster_name": "demo"})"),
                                  slurp(kRoot + "/examples/production/pgbalancer_cluster_production.json")}) {
    const auto cluster = good(text);
    EXPECT_EQ(good(to_json(cluster)), cluster) << to_json(cluster);
  }
}

TEST(ClusterFile, APasswordIsNeverPrinted) {
  const auto cluster = good(R"({"cluster_name": "demo", "postgres": {"password": "hunter2${X}"}})");
  EXPECT_TRUE(cluster.postgres.password.literal.equals("hunter2${X}"));
  EXPECT_EQ(to_json(cluster).find("hunter2"), std::string::npos);
}

TEST(ClusterFile, LoadingSaysWhyItCannot) {
  const auto absent = load_cluster("/nonexistent/cluster.json");
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().code, Code::kConfigUnreadable);
  const auto folder = load_cluster("/");
  ASSERT_FALSE(folder.ok());
  EXPECT_EQ(folder.error().code, Code::kConfigUnreadable);
  const auto wrong = load_cluster(kRoot + "/CMakeLists.txt");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, Code::kConfig);
  EXPECT_FALSE(wrong.error().details.empty());
  EXPECT_TRUE(load_cluster(kRoot + "/examples/minimal/pgbalancer_cluster.json").ok());
}

void expect_documented(const KeyTable& table, const std::string& page, const std::string& schema) {
  for (const auto& key : table.keys) {
    EXPECT_NE(page.find("| `" + std::string(key.name) + "` |"), std::string::npos) << key.name;
    EXPECT_NE(schema.find("\"" + std::string(key.name) + "\": {"), std::string::npos) << key.name;
    EXPECT_FALSE(key.about.empty()) << key.name;
    if (key.child != nullptr) expect_documented(*key.child, page, schema);
  }
}

// The members of an object with all defaults that the table spells out.
std::string all_defaults(const KeyTable& table) {
  std::string out;
  for (const auto& key : table.keys) {
    std::string value(key.fallback);
    if (key.child != nullptr) {
      value = "{" + all_defaults(*key.child) + "}";
      if (key.name == "pools") {
        value = "[]";
      } else if (key.kind == Kind::kObjects)
        value = key.name == "replicas" ? "[" + value + "," + value + "]" : "[" + value + "]";
    }
    if (key.required) value = "\"demo\"";
    if (!value.empty()) out += (out.empty() ? "\"" : ", \"") + std::string(key.name) + "\": " + value;
  }
  return out;
}

TEST(KeyTable, ItsDefaultsAreThoseOfAnEmptyFile) {
  EXPECT_EQ(good("{" + all_defaults(cluster_keys()) + "}"), good(R"({"cluster_name": "demo"})"));
}

TEST(KeyTable, ThePoolerHasTheKeysOfItsTableInThatOrder) {
  std::vector<std::string_view> visited;
  PoolConfig config;
  each_pool_key(config, [&visited](const char* key, auto&) { visited.push_back(key); });
  EXPECT_EQ(visited, pool_keys().names());
}

TEST(KeyTable, SchemaAndPageNameEveryKey) { expect_documented(cluster_keys(), reference_page(), json_schema()); }

}  // namespace
}  // namespace pgb::model
