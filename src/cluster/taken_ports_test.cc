#include "cluster/taken_ports.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "cluster/cluster_file.h"
#include "model/topology_json.h"
#include "os/file.h"
#include "os/test_dir.h"

namespace pgb::cluster {
namespace {

using runtime::Obstacle;

model::Cluster parse(const std::string& text) {
  model::Parsed parsed = model::parse_cluster(text);
  EXPECT_TRUE(parsed.mistakes.empty()) << parsed.mistakes[0].str("test");
  return parsed.cluster;
}

Obstacle taken(const std::string& unit, uint16_t port) {
  return Obstacle::taken_port(unit, port, Error(Code::kPortInUse, "port is in use").with("held by", "nginx, pid 7"));
}

TEST(TakenPorts, AreNamedByTheirKey) {
  const model::Cluster cluster = parse(R"({"cluster_name": "demo", "balancers": [{}, {}]})");
  EXPECT_EQ(port_key(cluster, "lb1", 19999), "balancers[0].port");
  EXPECT_EQ(port_key(cluster, "lb2", 28080), "balancers[1].rest_api_port");
  EXPECT_EQ(port_key(cluster, "primary2", 25432), "balancers[1].primary.port");
  EXPECT_EQ(port_key(cluster, "replica2", 15434), "balancers[0].replicas[1].port");
  EXPECT_EQ(port_key(cluster, "replica2", 1), "");
  EXPECT_EQ(port_key(cluster, "nobody", 19999), "");
}

TEST(TakenPorts, AreExplainedWithTheLineAndTheHolder) {
  os::TestDir dir;
  Session session;
  session.options.file = dir.path + "/demo.json";
  const std::string text = "{\"cluster_name\": \"demo\",\n \"balancers\": [{\"port\": 20500}]}";
  ASSERT_TRUE(os::write_file_atomic(session.options.file, text, 0600).ok());
  session.wanted = parse(text);
  const Error error = explain_obstacles(
      session, {taken("lb1", 20500), taken("primary1", 15432), Obstacle(Error(Code::kDiskFull, "no room"))});
  EXPECT_EQ(error.code, Code::kPortInUse);
  EXPECT_EQ(error.message, "2 ports are taken");
  ASSERT_EQ(error.details.size(), 5u);
  EXPECT_EQ(error.details[0].first, "20500");
  EXPECT_EQ(error.details[0].second,
            "needed by balancers[0].port, " + session.options.file + ":2:25\nheld by nginx, pid 7");
  EXPECT_EQ(error.details[1].second, "needed by balancers[0].primary.port, by default\nheld by nginx, pid 7");
  EXPECT_EQ(error.details[2], (std::pair<std::string, std::string>("also", "no room")));
  EXPECT_EQ(error.details[3], (std::pair<std::string, std::string>("changed", "nothing")));
  EXPECT_NE(error.details[4].second.find("--set-free-ports"), std::string::npos);
}

TEST(TakenPorts, GetFreeOnesThatCollideWithNothing) {
  model::Cluster cluster = parse(R"({"cluster_name": "demo"})");
  std::set<uint16_t> avoid = ports_of(cluster);
  const auto changes = take_free_ports(cluster, {taken("primary1", 15432), taken("lb1", 19999)}, avoid);
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_GT(cluster.balancers[0].primary.port, 15434) << "those of the replicas are not free";
  EXPECT_NE(cluster.balancers[0].port, 19999);
  const auto again = take_free_ports(cluster, {taken("primary1", cluster.balancers[0].primary.port)}, avoid);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_GT(again[0].to, again[0].from);
}

TEST(ClusterFile, KeepsAllThatIsNotChangedAndSpellsOutWhatItMust) {
  os::TestDir dir;
  const std::string file = dir.path + "/demo.json";
  const std::string text = R"({"network": {"name": "n"}, "cluster_name": "demo", "balancers": [{}, {"port": 22222}]})";
  ASSERT_TRUE(os::write_file_atomic(file, text, 0640).ok());
  model::Cluster cluster = parse(text);
  ASSERT_TRUE(save_ports(file, cluster,
                         {{"balancers[0].replicas[1].port", 15434, 30001},
                          {"balancers[0].primary.port", 15432, 30002},
                          {"balancers[1].port", 22222, 30003}})
                  .ok());
  const std::string after = *os::read_file(file);
  EXPECT_LT(after.find("network"), after.find("cluster_name"));
  struct stat info {};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  model::Cluster wanted = cluster;
  wanted.balancers[0].replicas[1].port = 30001;
  wanted.balancers[0].primary.port = 30002;
  wanted.balancers[1].port = 30003;
  EXPECT_TRUE(parse(after) == wanted) << after;
}

TEST(ClusterFile, WithoutBalancersGetsThem) {
  os::TestDir dir;
  const std::string file = dir.path + "/demo.json", text = R"({"cluster_name": "demo"})";
  ASSERT_TRUE(os::write_file_atomic(file, text, 0600).ok());
  model::Cluster cluster = parse(text);
  ASSERT_TRUE(save_ports(file, cluster, {{"balancers[0].replicas[0].port", 15433, 30001}}).ok());
  cluster.balancers[0].replicas[0].port = 30001;
  EXPECT_TRUE(parse(*os::read_file(file)) == cluster);
}

TEST(ClusterFile, ThatCannotBeChangedSaysWhatToDoByHand) {
  const model::Cluster cluster = parse(R"({"cluster_name": "demo"})");
  const Status status = save_ports("-", cluster, {{"balancers[0].port", 19999, 20000}});
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().details.at(0).second.find("balancers[0].port: 20000"), std::string::npos);
}

}  // namespace
}  // namespace pgb::cluster
