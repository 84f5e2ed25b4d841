#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "control/balancer_config.h"
#include "control/rest_api.h"

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
  EXPECT_EQ(config->max_clients, 16u);
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
        "listen_address: must be an IP address", "tls_key_file: must be set", "auth_password: is missing",
        "nodes[1].host: is missing", "nodes[1].port: must be", "nodes[1].name: \"a\" is used twice"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
}

TEST(BalancerConfig, BrokenTextIsAnErrorNotACrash) {
  for (const char* text : {"", "[", "[]", "null", "{\"nodes\":[1]}", "{\"nodes\":[]}", "\xff\xfe"}) {
    EXPECT_FALSE(parse_balancer_config(text)) << text;
  }
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

class FakeProxy final : public proxy::Admin {
 public:
  proxy::Stats stats() const override {
    proxy::Stats stats;
    stats.clients = 3;
    stats.nodes["primary1"].servers = 2;
    return stats;
  }
  proxy::TopologyPtr topology() const override {
    auto topology = std::make_shared<proxy::TopologySnapshot>();
    topology->nodes = {{"primary1", "10.0.0.1", 5432, proxy::NodeRole::kPrimary, false, "refused"}};
    return topology;
  }
  void apply(proxy::TopologyPtr) override {}
  void set_max_clients(unsigned) override {}
  uint16_t port() const override { return 1; }
};

class RestApiTest : public ::testing::Test {
 protected:
  http::Response call(const std::string& method, const std::string& target, const std::string& token = "secret") {
    RestSettings settings;
    settings.token = Secret("secret");
    const RestApi api(settings, proxy_, [this] { return reloaded_; });
    http::Request request;
    request.method = method;
    request.target = target;
    if (!token.empty()) request.headers["authorization"] = "Bearer " + token;
    return api.handle(request);
  }
  FakeProxy proxy_;
  Status reloaded_;
};

TEST_F(RestApiTest, OnlyHealthzIsOpenToEverybody) {
  EXPECT_EQ(call("GET", "/healthz", "").status, 200);
  for (const char* target : {"/api/v1/status", "/api/v1/control/reload", "/nothing"}) {
    EXPECT_EQ(call("GET", target, "").status, 401) << target;
    EXPECT_EQ(call("POST", target, "wrong").status, 401) << target;
  }
  EXPECT_EQ(call("GET", "/nothing").status, 404);
  EXPECT_EQ(call("GET", "/api/v1/control/reload").status, 405);
}

TEST_F(RestApiTest, StatusTellsNumbersAndNodes) {
  const auto document = nlohmann::json::parse(call("GET", "/api/v1/status").body);
  EXPECT_EQ(document["clients"], 3);
  EXPECT_EQ(document["nodes"][0]["name"], "primary1");
  EXPECT_EQ(document["nodes"][0]["role"], "primary");
  EXPECT_EQ(document["nodes"][0]["healthy"], false);
  EXPECT_EQ(document["nodes"][0]["last_error"], "refused");
  EXPECT_FALSE(document.contains("query"));
}

TEST_F(RestApiTest, AProbeThatCannotGetThroughSaysSo) {
  const auto document = nlohmann::json::parse(call("GET", "/api/v1/status?probe=1").body);
  EXPECT_EQ(document["query"]["ok"], false);
  EXPECT_NE(document["query"]["error"], "");
}

TEST_F(RestApiTest, AReloadThatFailsGivesTheReason) {
  EXPECT_EQ(call("POST", "/api/v1/control/reload").status, 200);
  reloaded_ = Error(Code::kConfig, "two mistakes").with("mistake", "nodes: is missing");
  const auto response = call("POST", "/api/v1/control/reload");
  EXPECT_EQ(response.status, 422);
  EXPECT_NE(response.body.find("nodes: is missing"), std::string::npos);
}

}  // namespace
}  // namespace pgb::control
