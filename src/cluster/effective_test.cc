#include "cluster/effective.h"

#include <gtest/gtest.h>

#include <set>

#include "cluster/units.h"
#include "model/topology_json.h"

namespace pgb::cluster {
namespace {

using model::Balancer;
using model::Cluster;
using model::Node;

Cluster parse(const std::string& text) {
  model::Parsed parsed = model::parse_cluster(text);
  EXPECT_TRUE(parsed.mistakes.empty()) << parsed.mistakes[0].str("test");
  return parsed.cluster;
}

TEST(NextReplica, CollidesWithNothingInTheCluster) {
  Cluster cluster = parse(R"({"cluster_name":"demo","balancers":[{"name":"lb1"},{"name":"lb2"}]})");
  std::set<std::string> names, addresses;
  std::set<uint16_t> ports;
  for (const Balancer& balancer : cluster.balancers) {
    for (const Node& node : balancer.nodes()) {
      names.insert(node.name);
      addresses.insert(node.ip_address);
      ports.insert(node.port);
    }
  }
  for (int i = 0; i < 20; ++i) {
    for (Balancer& balancer : cluster.balancers) {
      const Node node = next_replica(cluster, balancer);
      EXPECT_TRUE(names.insert(node.name).second) << node.name;
      EXPECT_TRUE(addresses.insert(node.ip_address).second) << node.ip_address;
      EXPECT_TRUE(ports.insert(node.port).second) << node.port;
      balancer.replicas.push_back(node);
    }
  }
  EXPECT_TRUE(model::parse_cluster(model::to_json(cluster)).mistakes.empty()) << "a second run must be able to load it";
}

TEST(NextReplica, CountsOnFromTheLastOne) {
  const Cluster cluster = parse(R"({"cluster_name":"demo"})");
  const Node node = next_replica(cluster, cluster.balancers[0]);
  EXPECT_EQ(node.name, "replica3");
  EXPECT_EQ(node.node_id, 3);
  EXPECT_EQ(node.port, 15435);
}

TEST(ExtraReplicas, StayWhenTheFileDoesNotNameThem) {
  const Cluster wanted = parse(R"({"cluster_name":"demo"})");
  Cluster recorded = wanted;
  recorded.balancers[0].replicas.push_back(next_replica(recorded, recorded.balancers[0]));
  std::vector<std::string> extras;
  const Cluster goal = with_extra_replicas(wanted, recorded, &extras);
  EXPECT_EQ(goal.balancers[0].replicas.size(), 3u);
  EXPECT_EQ(extras, std::vector<std::string>{"replica3"});
}

TEST(SlotName, HasOnlyTheLettersPostgresAllows) {
  EXPECT_EQ(slot_name("replica_1"), "replica_1");
  const std::string slot = slot_name("Replica-1.b_c");
  EXPECT_EQ(slot.find("replica_1_b_c_"), 0u) << slot;
  EXPECT_EQ(slot.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string::npos) << slot;
}

TEST(SlotName, TwoNodesNeverShareOne) {
  EXPECT_NE(slot_name("a-b"), slot_name("a_b"));
  EXPECT_NE(slot_name("a-b"), slot_name("a.b"));
  EXPECT_NE(slot_name(std::string(63, 'x') + "y"), slot_name(std::string(63, 'x') + "z"));
  EXPECT_LE(slot_name(std::string(63, '-')).size(), 63u);
}

}  // namespace
}  // namespace pgb::cluster
