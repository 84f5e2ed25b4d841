#include "control/balancer_config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "model/key_table.h"
#include "model/schema.h"

namespace pgb::control {
namespace {

constexpr char kGood[] = R"({"group":"lb1","listen_address":"0.0.0.0","port":9999,"rest_address":"0.0.0.0",
  "rest_port":8080,"token":"secret","max_clients":16,"auth_user":"pgbalancer","auth_password":"pw","threads":0,
  "tls_cert_file":"","tls_key_file":"","agent_token":"at","run_as_user":65534,
  "nodes":[{"name":"primary1","host":"172.31.1.20","port":5432,"agent_host":"172.31.1.20","agent_port":8008}]})";

std::string all_of(const Error& error) {
  std::string text = error.message;
  for (const auto& [label, detail] : error.details) text += "\n" + detail;
  return text;
}

TEST(BalancerConfig, ReadsWhatTheManagerWrites) {
  const auto config = parse_balancer_config(kGood);
  ASSERT_TRUE(config) << all_of(config.error());
  EXPECT_EQ(config->group, "lb1");
  EXPECT_EQ(config->pool.max_clients, 16u);
  EXPECT_EQ(config->auth_password.reveal(), "pw");
  EXPECT_EQ(config->run_as_user, 65534u);
  EXPECT_FALSE(config->run_as_group);
  ASSERT_EQ(config->nodes.size(), 1u);
  EXPECT_EQ(config->nodes[0].agent_port, 8008);
  const auto topology = config->topology();
  EXPECT_EQ(topology.nodes[0].address(), "172.31.1.20:5432");
  EXPECT_EQ(topology.primary(), nullptr);
}

TEST(BalancerConfig, NamesEveryMistakeByItsKeyInOneGo) {
  const auto config = parse_balancer_config(
      R"({"group":7,"port":70000,"max_client":5,"listen_address":"lb.example","tls_cert_file":"a",
          "token":"t","nodes":[{"name":"a","host":"10.0.0.1"},{"name":"a","port":"x"}]})");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, Code::kConfig);
  const std::string text = all_of(config.error());
  for (const char* part :
       {"group: must be a text", "port: must be a whole number", "did you mean max_clients?",
        "listen_address: must be an IP address", "tls_key_file: must be set", "nodes[1].host: is missing",
        "nodes[1].port: must be", "nodes[1].name: \"a\" is used twice"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
}

std::string mistakes_in(const std::string& text) {
  const auto config = parse_balancer_config(text);
  return config ? "" : all_of(config.error());
}

// A configuration of one node with these members more.
std::string with(const std::string& members) { return "{\"nodes\":[{\"host\":\"10.0.0.1\"}]," + members + "}"; }

TEST(BalancerConfig, BrokenTextIsAnErrorNotACrash) {
  for (const char* text : {"", "[", "[]", "null", "{\"nodes\":[1]}", "{\"nodes\":[]}", "{\"nodes\":{}}",
                           "{\"users\":1}", "{\"port\":1e400}", "{\"\":{\"\":", "\xff\xfe"}) {
    EXPECT_FALSE(parse_balancer_config(text)) << text;
  }
}

TEST(BalancerConfig, TextThatIsNoJsonIsToldByItsPlaceWithoutShowingIt) {
  const std::string text = mistakes_in("{\n  \"auth_password\": \"hunter2\",,\n}");
  EXPECT_NE(text.find("line 2, column 30"), std::string::npos) << text;
  EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
  EXPECT_NE(mistakes_in(R"({"nodes":[{"host":"::1","host":"::2"}]})").find("host: is given twice"), std::string::npos);
}

TEST(BalancerConfig, APortAndTheServersAreAWholeFile) {
  const auto config =
      parse_balancer_config(R"({"port":6432,"nodes":[{"host":"10.0.0.1"},{"host":"localhost","port":5433}]})");
  ASSERT_TRUE(config) << all_of(config.error());
  EXPECT_EQ(config->group, "pgbalancer");
  EXPECT_EQ(config->port, 6432);
  EXPECT_EQ(config->rest_port, 0) << "nobody could be asked for a token";
  EXPECT_EQ(config->nodes[0].name, "10.0.0.1:5432");
  EXPECT_EQ(config->nodes[1].name, "localhost:5433");
  EXPECT_EQ(config->nodes[0].weight, 1);
  EXPECT_FALSE(config->holds_secrets());
  EXPECT_EQ(parse_balancer_config(with(R"("token":"t")"))->rest_port, 8080);
  EXPECT_NE(mistakes_in(with(R"("rest_port":8080)")).find("token: must be set"), std::string::npos);
  EXPECT_NE(
      mistakes_in(R"({"nodes":[{"host":"::1"},{"host":"::1"}]})").find("nodes[1].name: \"::1:5432\" is used twice"),
      std::string::npos);
}

TEST(BalancerConfig, ALeaseStoreNeedsAPassword) {
  EXPECT_NE(mistakes_in(with(R"("store_dir":"store")")).find("store_password: must be set"), std::string::npos);
  EXPECT_NE(mistakes_in(with(R"("etcd":["http://a:2379"])")).find("cluster: must be set"), std::string::npos);
  EXPECT_NE(mistakes_in(with(R"("etcd":["http://a:2379"],"cluster":"a","store_dir":"s","store_password":"p")"))
                .find("etcd: must not be set with store_dir"),
            std::string::npos);
  EXPECT_EQ(parse_balancer_config(with(R"("etcd":["http://a:2379"],"cluster":"a")"))->cluster, "a");
  const auto known = parse_balancer_config(with(
      R"("etcd":["https://a:2379"],"cluster":"a","etcd_user":"u","etcd_password":"p","etcd_ca":"A","etcd_cert":"C","etcd_key":"K")"));
  ASSERT_TRUE(known) << all_of(known.error());
  EXPECT_EQ(known->etcd_user, "u");
  EXPECT_EQ(known->etcd_password, Secret("p"));
  EXPECT_EQ(known->etcd_tls.ca, "A");
  EXPECT_EQ(known->etcd_tls.cert, "C");
  EXPECT_EQ(known->etcd_tls.key, Secret("K"));
  EXPECT_TRUE(known->holds_secrets());
  const auto config = parse_balancer_config(with(R"("store_dir":"store","store_password":"p","store_port":2380)"));
  ASSERT_TRUE(config) << all_of(config.error());
  EXPECT_EQ(config->store_dir, "store");
  EXPECT_EQ(config->store_port, 2380);
  EXPECT_TRUE(config->holds_secrets());
}

TEST(BalancerConfig, DefaultsOfThePoolerAreThoseOfTheKeyTable) {
  std::string members;
  for (const model::Key& key : model::pool_keys().keys) {
    ASSERT_FALSE(key.fallback.empty()) << key.name;
    members += (members.empty() ? "\"" : ",\"") + std::string(key.name) + "\":" + std::string(key.fallback);
  }
  const auto spelled_out = parse_balancer_config(with(members));
  ASSERT_TRUE(spelled_out) << all_of(spelled_out.error());
  EXPECT_EQ(spelled_out->pool, model::PoolConfig());
  proxy::PoolSettings expected;
  expected.max_clients = 1000;
  EXPECT_EQ(spelled_out->pool_settings(), expected);
}

TEST(BalancerConfig, EveryKeyOfThePoolerReachesTheProxy) {
  const auto config = parse_balancer_config(with(R"("pool_mode":"statement","pool_size":7,"min_pool_size":2,
      "reserve_pool_size":3,"reserve_pool_timeout":0.25,"max_clients":500,"max_user_clients":50,
      "max_database_clients":60,"query_wait_timeout":1.5,"primary_wait_timeout":2.5,"query_timeout":2,"client_idle_timeout":3,
      "idle_transaction_timeout":4,"server_idle_timeout":5,"server_lifetime":6,"server_check_delay":7,
      "max_prepared_statements":8,"causal_reads":"global","max_replica_lag":0.0001,
      "max_replica_lag_bytes":16000000000,"log_slow_queries":0.1,"threads":9,"scheduling":"normal","io_uring":"off","read_write_split":false)"));
  ASSERT_TRUE(config) << all_of(config.error());
  using ms = std::chrono::milliseconds;
  const proxy::PoolSettings pool = config->pool_settings();
  EXPECT_EQ(config->pool.threads, 9u);
  EXPECT_EQ(config->pool.scheduling, "normal");
  EXPECT_EQ(config->pool.io_uring, "off");
  EXPECT_EQ(pool.mode, proxy::PoolMode::kStatement);
  EXPECT_EQ(pool.causal_reads, proxy::CausalReads::kGlobal);
  EXPECT_FALSE(pool.read_write_split);
  EXPECT_EQ((std::vector<unsigned>{pool.pool_size, pool.min_pool_size, pool.reserve_pool_size, pool.max_clients,
                                   pool.max_user_clients, pool.max_database_clients, pool.max_prepared}),
            (std::vector<unsigned>{7, 2, 3, 500, 50, 60, 8}));
  EXPECT_EQ((std::vector<ms>{pool.reserve_after, pool.query_wait_timeout, pool.primary_wait_timeout, pool.query_timeout,
                             pool.client_idle_timeout, pool.idle_transaction_timeout, pool.server_idle_timeout,
                             pool.server_lifetime, pool.server_check_after, pool.log_slow_queries}),
            (std::vector<ms>{ms(250), ms(1500), ms(2500), ms(2000), ms(3000), ms(4000), ms(5000), ms(6000), ms(7000),
                             ms(100)}));
  EXPECT_EQ(pool.max_replica_lag, ms(1)) << "a small limit must not become none";
  EXPECT_EQ(pool.max_replica_lag_bytes, 16000000000u);
}

TEST(BalancerConfig, PoolsSayWhatIsDifferentForSome) {
  const auto config = parse_balancer_config(with(R"("pool_size":7,"min_pool_size":2,"pools":[
      {"database":"shop","user":"app","pool_mode":"session","min_pool_size":5},
      {"database":"shop","pool_size":3,"reserve_pool_size":1}])"));
  ASSERT_TRUE(config) << all_of(config.error());
  const proxy::PoolSettings pool = config->pool_settings();
  using proxy::PoolLimits;
  using proxy::PoolMode;
  EXPECT_EQ(pool.of("shop", "app"), (PoolLimits{PoolMode::kSession, 7, 5, 0}))
      << "the first that fits, and nothing else";
  EXPECT_EQ(pool.of("shop", "other"), (PoolLimits{PoolMode::kTransaction, 3, 2, 1}));
  EXPECT_EQ(pool.of("other", "app"), (PoolLimits{PoolMode::kTransaction, 7, 2, 0}));
}

TEST(BalancerConfig, MistakesInPoolsAreNamed) {
  const std::string text = mistakes_in(with(R"("min_pool_size":5,"pools":[{"pool_size":9},{"user":"a"},
      {"database":"d","min_pool_size":21},{"database":"e","pool_size":4},{"user":"b","pool_mode":"query","pol_size":1},
      {"user":"c","pool_size":6},{"user":"c","database":"d","pool_size":7},3])"));
  for (const char* part :
       {"pools[0].database: must be given, or a user, or both", "pools[1].pool_size: must be given, or another key",
        "pools[2].min_pool_size: must not be more than pool_size, which is 20",
        "pools[3].pool_size: must not be less than min_pool_size, which is 5", "pools[4].pool_mode: must be one of",
        "pools[4].pol_size: is not a known key; did you mean pool_size?",
        "pools[6].database: never counts: pools[2] fits, too", "pools[7]: must be an object"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nis missing in\n" << text;
  }
}

TEST(BalancerConfig, WrongValuesOfThePoolerAreNamedWithTheirLimits) {
  const std::string text = mistakes_in(with(R"("pool_mode":"query","pool_size":0,"min_pool_size":21,"max_clients":-1,
      "query_timeout":-0.5,"server_lifetime":"1h","causal_reads":true,"threads":257,"io_uring":"on","max_replica_lag_bytes":0.5,
      "read_write_split":"on","pool_sise":3)"));
  for (const char* part :
       {"pool_mode: must be one of session, transaction, statement, not \"query\"",
        "pool_size: must be a whole number from 1 to 100000", "min_pool_size: must not be more than pool_size",
        "max_clients: must be a whole number from 1 to 100000", "query_timeout: must be a number from 0 to 31536000",
        "server_lifetime: must be a number", "causal_reads: must be one of off, session, global",
        "threads: must be a whole number from 0 to 256", "io_uring: must be one of auto, off, not \"on\"",
        "max_replica_lag_bytes: must be a whole number", "read_write_split: must be true or false",
        "did you mean pool_size?", "12 mistakes"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
}

TEST(BalancerConfig, AWeightIsANumberNotLessThanZero) {
  const auto config = parse_balancer_config(R"({"nodes":[{"host":"::1","weight":0},{"host":"::2","weight":2.5}]})");
  ASSERT_TRUE(config) << all_of(config.error());
  EXPECT_EQ(config->nodes[0].weight, 0);
  EXPECT_EQ(config->nodes[1].weight, 2.5);
  EXPECT_NE(mistakes_in(R"({"nodes":[{"host":"::1","weight":-1}]})").find("nodes[0].weight: must be a number from 0"),
            std::string::npos);
}

constexpr char kVerifier[] =
    "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$"
    "c3RvcmVka2V5c3RvcmVka2V5c3RvcmVka2V5c3RvcmU=:c2VydmVya2V5c2VydmVya2V5c2VydmVya2V5c2VydmU=";

TEST(BalancerConfig, UsersHavePasswordsOrVerifiers) {
  const auto config = parse_balancer_config(with(std::string(R"("users":[{"name":"ann","password":"clear"},
      {"name":"bob","password":")") + kVerifier + R"("},{"name":"eve","password":"md5)" +
                                                 std::string(32, 'a') + R"("}])"));
  ASSERT_TRUE(config) << all_of(config.error());
  ASSERT_EQ(config->users.size(), 3u);
  EXPECT_EQ(config->users[0], (User{"ann", Secret("clear")}));
  EXPECT_TRUE(config->users[1].secret.equals(kVerifier));
  EXPECT_TRUE(config->holds_secrets());
}

TEST(BalancerConfig, WrongUsersAreNamedWithoutTheirSecrets) {
  const std::string text = mistakes_in(with(R"("users":[{"name":"a","password":"hunter2"},{"name":"a","password":"x"},
      {"name":"","password":"x"},{"password":"hunter2"},{"name":"b"},{"name":"c","password":""},
      {"name":"d","password":"SCRAM-SHA-256$4096:hunter2"},{"name":"e","password":7},{"name":"\u0000","password":"x"},7,
      {"name":"f","password":"a\u0000b"},{"name":"g","passwort":"hunter2"}])"));
  for (const char* part :
       {"users[1].name: \"a\" is used twice", "users[2].name: must not be empty", "users[3].name: is missing",
        "users[4].password: is missing", "users[5].password: must not be empty",
        "users[6].password: the secret begins like", "users[7].password: must be a text",
        "users[8].name: the user's name must not hold control", "users[9]: must be an object",
        "users[10].password: the secret must not hold a zero byte", "users[11].passwort: is not a known key"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
  EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
}

TEST(BalancerConfig, AnAuthQueryNeedsItsParameterAndItsUser) {
  const auto config = parse_balancer_config(with(R"x("auth_user":"asker","auth_query":"SELECT a, b FROM f($1)")x"));
  ASSERT_TRUE(config) << all_of(config.error());
  EXPECT_EQ(config->auth_query, "SELECT a, b FROM f($1)");
  const std::string text = mistakes_in(with(R"("auth_query":"SELECT 1")"));
  EXPECT_NE(text.find("auth_query: must hold $1"), std::string::npos) << text;
  EXPECT_NE(text.find("auth_user: must be set"), std::string::npos) << text;
}

TEST(UserList, ReadsWhatPgBouncerReads) {
  const auto users = parse_user_list(std::string("; a comment\n\n\"ann\" \"pass\"\"word\" ignored\r\n  \"b b\"\t\"") +
                                     kVerifier + "\"\n\"\"\"q\"\"\" \"x\"");
  ASSERT_TRUE(users) << all_of(users.error());
  ASSERT_EQ(users->size(), 3u);
  EXPECT_EQ((*users)[0], (User{"ann", Secret("pass\"word")}));
  EXPECT_EQ((*users)[1].name, "b b");
  EXPECT_EQ((*users)[2], (User{"\"q\"", Secret("x")}));
  EXPECT_TRUE(parse_user_list("")->empty());
}

TEST(UserList, WrongLinesAreNumberedAndShowNoSecret) {
  const auto users = parse_user_list(
      "ann hunter2\n\"ann\n\"ann\" \"hunter2\n\"ann\"\n\"ann\" \"\"\n\"\" \"hunter2\"\n\"a\" \"hunter2\"\n\"a\" \"x\"");
  ASSERT_FALSE(users);
  const std::string text = all_of(users.error());
  for (const char* part :
       {"7 mistakes", "line 1: a user's name in double quotes", "line 2: a user's name",
        "line 3: the secret of \"ann\" must follow", "line 4: the secret", "line 5: the secret must not",
        "line 6: the user's name must not", "line 8: \"a\" stands on line 7 already"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
  EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
}

std::string slurp(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  EXPECT_TRUE(in.is_open()) << file;
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

TEST(BalancerConfig, ItsPageHoldsThePoolersKeysAndItsExamplesAreRight) {
  const std::string page = slurp(std::string(PGB_SOURCE_DIR) + "/docs/balancer-file.md");
  EXPECT_NE(page.find(model::pool_chapter()), std::string::npos) << "it must hold:\n" << model::pool_chapter();
  int examples = 0;
  for (size_t at = page.find("```json\n"); at != std::string::npos; at = page.find("```json\n", at)) {
    at += 8;
    EXPECT_EQ(mistakes_in(page.substr(at, page.find("```", at) - at)), "");
    ++examples;
  }
  EXPECT_GE(examples, 2);
  const auto example = load_balancer_config(std::string(PGB_SOURCE_DIR) + "/examples/standalone/balancer.json");
  EXPECT_TRUE(example) << all_of(example.error());
}

class ConfigFolder : public ::testing::Test {
 protected:
  ConfigFolder() {
    char name[] = "/tmp/pgb_control_XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  ~ConfigFolder() override {
    for (const char* file : {"balancer.json", "users.txt", "hba.conf"}) ::unlink(path(file).c_str());
    ::rmdir(dir_.c_str());
  }
  std::string path(const std::string& name) const { return dir_ + "/" + name; }
  void write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    std::ofstream(path(name)) << text;
    EXPECT_EQ(::chmod(path(name).c_str(), mode), 0);
  }
  Result<BalancerConfig> load() const { return load_balancer_config(path("balancer.json")); }

 private:
  std::string dir_;
};

TEST_F(ConfigFolder, AFileWithoutSecretsMayBeReadByAll) {
  write("balancer.json", R"({"port":6432,"nodes":[{"host":"10.0.0.1"}]})", 0644);
  EXPECT_TRUE(load());
  write("balancer.json", with(R"("users":[{"name":"a","password":"b"}])"), 0640);
  EXPECT_EQ(load().error().code, Code::kConfigUnreadable);
}

TEST_F(ConfigFolder, UsersOfAFileBesideItJoinThoseOfTheList) {
  write("balancer.json", with(R"("users":[{"name":"ann","password":"x"}],"users_file":"users.txt")"));
  EXPECT_EQ(load().error().code, Code::kConfigUnreadable) << "the file is not there";
  write("users.txt", "\"bob\" \"y\"\n");
  const auto config = load();
  ASSERT_TRUE(config) << all_of(config.error());
  EXPECT_EQ(config->users, (std::vector<User>{{"ann", Secret("x")}, {"bob", Secret("y")}}));
  write("users.txt", "\"ann\" \"y\"\n");
  EXPECT_NE(all_of(load().error()).find("\"ann\" stands under \"users\" already"), std::string::npos);
  write("users.txt", "\"bob\" \"y\"\n", 0644);
  EXPECT_EQ(load().error().code, Code::kConfigUnreadable);
}

TEST_F(ConfigFolder, RulesOfAFileBesideItAreReadAndTheirMistakesToldByLine) {
  write("balancer.json", with(R"("hba_file":"hba.conf")"));
  const auto absent = load();
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, Code::kConfigUnreadable);
  EXPECT_NE(absent.error().message.find("hba_file"), std::string::npos) << absent.error().message;
  write("hba.conf", "host all all all scram-sha-256\nhost all all 10.0.0.0/8 md5\n", 0644);
  const auto config = load();
  ASSERT_TRUE(config) << all_of(config.error()) << " (it holds no secrets)";
  ASSERT_NE(config->hba, nullptr);
  EXPECT_EQ(config->hba->size(), 2u);
  write("hba.conf", "host all all all\nhost all all all peer\n");
  const auto wrong = load();
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Code::kConfig);
  const std::string text = all_of(wrong.error());
  for (const char* part : {"hba.conf", "2 mistakes", "line 1: ", "line 2: "}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
  write("hba.conf", "hostssl all all all cert\n");
  EXPECT_NE(all_of(load().error()).find("set tls_client_certs"), std::string::npos) << all_of(load().error());
  write("balancer.json", with(R"("port":1)"));
  EXPECT_EQ(load()->hba, nullptr);
}

TEST(BalancerConfig, AFileThatOthersMayReadIsRefused) {
  char name[] = "/tmp/pgb_control_XXXXXX";
  const int fd = ::mkstemp(name);
  ASSERT_GE(fd, 0);
  ::close(fd);
  std::ofstream(name) << kGood;
  EXPECT_TRUE(load_balancer_config(name));
  ASSERT_EQ(::chmod(name, 0644), 0);
  const auto open_to_all = load_balancer_config(name);
  ASSERT_FALSE(open_to_all);
  EXPECT_NE(all_of(open_to_all.error()).find("chmod 600"), std::string::npos);
  ::unlink(name);
  EXPECT_EQ(load_balancer_config(name).error().code, Code::kConfigUnreadable);
}

TEST(BalancerConfig, WhatConcernsItsOperation) {
  const auto config = parse_balancer_config(
      R"({"nodes":[{"host":"10.0.0.1"}],"log_format":"json","log_connections":true,"log_file":"a.log",
      "takeover_socket":"t.sock","pid_file":"/run/p","takeover_timeout":1.5,"shutdown_timeout":0})");
  ASSERT_TRUE(config) << all_of(config.error());
  EXPECT_EQ(config->log_format, "json");
  EXPECT_TRUE(config->pool_settings().log_connections);
  EXPECT_EQ(config->takeover_timeout, 1.5);
  EXPECT_EQ(config->shutdown_timeout, 0);
  const auto wrong =
      parse_balancer_config(R"({"nodes":[{"host":"10.0.0.1"}],"log_format":"xml","takeover_timeout":-1,"pid_file":7})");
  ASSERT_FALSE(wrong);
  for (const char* key : {"log_format: ", "takeover_timeout: ", "pid_file: "}) {
    EXPECT_NE(all_of(wrong.error()).find(key), std::string::npos) << key;
  }
}

TEST(BalancerConfig, FilesThatItMakesLieBesideItAndTheSocketsPathMustFit) {
  char dir[] = "/tmp/pgb_config_XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  const std::string name = std::string(dir) + "/balancer.json";
  const auto load = [&](const std::string& socket) {
    std::ofstream(name) << R"({"nodes":[{"host":"10.0.0.1"}],"log_file":"a.log","takeover_socket":")" << socket
                        << "\"}";
    return load_balancer_config(name);
  };
  const auto config = load("t.sock");
  ASSERT_TRUE(config) << all_of(config.error());
  EXPECT_EQ(config->log_file, std::string(dir) + "/a.log");
  EXPECT_EQ(config->takeover_socket, std::string(dir) + "/t.sock");
  EXPECT_EQ(load("/" + std::string(100, 'x')).error().code, Code::kConfig);
  ::unlink(name.c_str());
  ::rmdir(dir);
}

}  // namespace
}  // namespace pgb::control
