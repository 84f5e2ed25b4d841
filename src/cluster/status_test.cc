#include "cluster/status.h"

#include <gtest/gtest.h>

#include <fstream>

#include "os/file.h"
#include "os/test_dir.h"

namespace pgb::cluster {
namespace {

StatusDocument document() {
  StatusDocument made;
  made.state = "degraded";
  made.notes = {"replica2: its slot is lost"};
  made.balancers.resize(2);
  made.balancers[0].name = "lb1";
  made.balancers[1].name = "lb2";
  const auto node = [](const char* name, int id, const char* state) {
    NodeStatus one;
    one.name = name;
    one.node_id = id;
    one.state = state;
    one.reason = "why";
    return one;
  };
  made.balancers[0].nodes = {node("primary1", 0, "accepting"), node("replica1", 1, "streaming"),
                             node("replica2", 2, "not_streaming")};
  made.balancers[1].nodes = {node("primary2", 0, "down"), node("replica3", 1, "streaming")};
  return made;
}

TEST(OnlyNode, IsJudgedByItselfAlone) {
  StatusDocument one = document();
  ASSERT_TRUE(only_node(one, "replica1").ok());
  EXPECT_EQ(one.state, "healthy");
  EXPECT_TRUE(one.notes.empty());
  ASSERT_EQ(one.balancers.size(), 1u);
  EXPECT_EQ(one.balancers[0].name, "lb1");
  ASSERT_EQ(one.balancers[0].nodes.size(), 1u);
  EXPECT_EQ(one.balancers[0].nodes[0].name, "replica1");

  one = document();
  ASSERT_TRUE(only_node(one, "replica2").ok());
  EXPECT_EQ(one.state, "degraded");
  EXPECT_EQ(one.notes, std::vector<std::string>{"replica2: why"});

  one = document();
  one.state = "no_primary";  // its group has no other one
  ASSERT_TRUE(only_node(one, "primary2").ok());
  EXPECT_EQ(one.state, "no_primary");
}

TEST(StatusJson, APauseIsKnownNotThereOrNotKnown) {
  StatusDocument one = document();
  EXPECT_NE(to_json(one).find("\"paused\":null"), std::string::npos);
  one.balancers[0].paused.emplace();
  EXPECT_NE(to_json(one).find("\"paused\":false"), std::string::npos);
  one.balancers[0].paused = BalancerStatus::Paused{"2026-01-31T12:00:00.000Z", "alice"};
  EXPECT_NE(to_json(one).find(R"("paused":{"since":"2026-01-31T12:00:00.000Z","by":"alice"})"), std::string::npos);
}

TEST(OnlyNode, AnIdMayStandForOneInEachGroup) {
  StatusDocument one = document();
  ASSERT_TRUE(only_node(one, "1").ok());
  EXPECT_EQ(one.balancers.size(), 2u);
  EXPECT_EQ(one.state, "healthy");
}

TEST(OnlyNode, NobodyIsNamedWithThoseWhoAre) {
  StatusDocument one = document();
  const Status status = only_node(one, "nobody");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kNoNode);
  EXPECT_EQ(status.error().details.at(0).second, "primary1, replica1, replica2, primary2, replica3");
  one.state = "not_created";
  EXPECT_TRUE(only_node(one, "nobody").ok());
}

TEST(LastEvent, IsTheNewestWholeLine) {
  os::TestDir dir;
  Session session;
  session.state_dir = dir.path;
  session.wanted.cluster_name = "demo";
  EXPECT_FALSE(session.last_event());
  ASSERT_TRUE(os::make_dirs(session.cluster_dir(), 0755).ok());
  session.log_event("first");
  session.log_event("second");
  ASSERT_TRUE(session.last_event());
  EXPECT_EQ(session.last_event()->text, "second");
  std::ofstream(session.events_file(), std::ios::app) << R"({"time": "2026-)";  // being written
  EXPECT_EQ(session.last_event()->text, "second");
  std::ofstream(session.events_file(), std::ios::app) << "\n";
  EXPECT_FALSE(session.last_event());
}

}  // namespace
}  // namespace pgb::cluster
