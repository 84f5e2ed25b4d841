#include "cluster/units.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cluster/changes.h"
#include "cluster/rest_calls.h"
#include "http/server.h"
#include "model/topology_json.h"
#include "runtime/fake_runtime.h"

namespace pgb::cluster {
namespace {

using nlohmann::json;

class UnitsTest : public ::testing::Test {
 protected:
  UnitsTest() {
    session_.state_dir = "/nonexistent";
    session_.runtime = std::make_unique<runtime::FakeRuntime>();
  }
  // What the balancer of a cluster of such a file is told.
  json balancer_file(const std::string& more) {
    const auto parsed = model::parse_cluster(R"({"cluster_name":"shop")" + more + "}");
    EXPECT_TRUE(parsed.mistakes.empty());
    const auto units = make_units(session_, parsed.cluster, {}, {});
    EXPECT_TRUE(units.ok()) << units.error().message;
    for (const runtime::UnitSpec& unit : *units) {
      for (const runtime::FileSpec& file : unit.files) {
        if (file.name == "balancer.json") return json::parse(file.content);
      }
    }
    ADD_FAILURE() << "no balancer";
    return json::object();
  }
  Session session_;
};

// One of an earlier version may run, and reads the file again: it refuses keys that it does not know.
TEST_F(UnitsTest, ABalancerIsToldTheClusterOnlyWhereNothingElseSaysItsName) {
  EXPECT_FALSE(balancer_file("").contains("cluster")) << "the store is its own";
  const json alone = balancer_file(R"(,"ha":{"failover":false},"dcs":{"etcd":["http://127.0.0.1:2379"]})");
  EXPECT_EQ(alone.value("cluster", ""), "shop");
  EXPECT_FALSE(alone.contains("etcd"));
  EXPECT_EQ(balancer_file(R"(,"ha":{"failover":false})").value("cluster", ""), "shop");
  const json elsewhere = balancer_file(R"(,"ha":{"failover":true},"dcs":{"etcd":["http://127.0.0.1:2379"]})");
  EXPECT_EQ(elsewhere.value("cluster", ""), "shop");
  EXPECT_TRUE(elsewhere.contains("etcd"));
}

// It may be told so and not have heard it yet: an init was cut off in between.
TEST_F(UnitsTest, ABalancerThatIsToSpeakTlsIsReachedWithoutUntilItDoes) {
  auto server = http::Server::start("127.0.0.1", 0, [](const http::Request&) { return http::Response{}; });
  ASSERT_TRUE(server) << server.error().message;
  auto parsed = model::parse_cluster(R"({"cluster_name":"shop"})");
  model::Balancer& group = parsed.cluster.balancers.at(0);
  group.rest_api_port = (*server)->port();
  group.config.rest_tls = true;
  for (const bool spoke_tls : {false, true}) {
    const Status done = reload_balancer(session_, parsed.cluster, {}, group, spoke_tls);
    EXPECT_TRUE(done.ok()) << done.error().message;
  }
  EXPECT_EQ(
      call_balancer(session_, parsed.cluster, {}, group, {}, Deadline::after(std::chrono::seconds(5))).error().code,
      Code::kNotReady)
      << "nobody else calls it without TLS";
  parsed.cluster.bind_address = "192.0.2.1";  // somebody may be in between
  const Status done = reload_balancer(session_, parsed.cluster, {}, group, true);
  ASSERT_FALSE(done.ok());
  EXPECT_NE(done.error().message.find("certificate"), std::string::npos) << done.error().message;
}

TEST_F(UnitsTest, ABalancerThatRefusesItsFileIsToBeRestarted) {
  auto server = http::Server::start("127.0.0.1", 0, [](const http::Request&) {
    http::Response response;
    response.status = 422;
    response.body = "cluster: unknown key";
    return response;
  });
  ASSERT_TRUE(server) << server.error().message;
  auto parsed = model::parse_cluster(R"({"cluster_name":"shop"})");
  model::Balancer& group = parsed.cluster.balancers.at(0);
  group.rest_api_port = (*server)->port();
  const Status done = reload_balancer(session_, parsed.cluster, {}, group, false);
  ASSERT_FALSE(done.ok());
  EXPECT_NE(done.error().message.find("cluster: unknown key"), std::string::npos);
  const auto& details = done.error().details;
  EXPECT_TRUE(std::any_of(details.begin(), details.end(), [&](const auto& one) {
    return one.first == "try" && one.second == "pgbalancer_cluster restart " + group.name;
  }));
}

}  // namespace
}  // namespace pgb::cluster
