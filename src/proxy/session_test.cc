#include "proxy/session.h"

#include <gtest/gtest.h>

#include "proxy/cancel_registry.h"
#include "proxy/message_walk.h"
#include "proxy/topology_snapshot.h"

namespace pgb::proxy {
namespace {

TEST(MessageWalk, FindsTheBoundariesHoweverTheBytesAreCut) {
  const std::string bytes = std::string("Z\0\0\0\5I", 6) + std::string("D\0\0\0\4", 5) + std::string("E\0\0\0\7abc", 8);
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    MessageWalk walk;
    EXPECT_TRUE(walk.at_boundary());
    for (size_t at = 0; at < bytes.size(); at += piece) {
      walk.feed(std::string_view(bytes).substr(at, piece));
      const size_t end = std::min(at + piece, bytes.size());
      EXPECT_EQ(walk.at_boundary(), end == 6 || end == 11 || end == 19) << end;
    }
    EXPECT_EQ(walk.last_tag(), 'E');
  }
}

TEST(MessageWalk, AnImpossibleLengthIsNeverABoundaryAgain) {
  MessageWalk walk;
  walk.feed(std::string("Q\0\0\0\3Z\0\0\0\5I", 11));
  EXPECT_FALSE(walk.at_boundary());
}

TEST(CancelRegistry, GivesTheTargetOnlyForTheRightKeyWhileItIsThere) {
  CancelRegistry registry;
  const auto one = registry.add({"10.0.0.1", 5432, 77, "abcd"});
  const auto two = registry.add({"10.0.0.2", 5432, 78, "efgh"});
  ASSERT_TRUE(one);
  ASSERT_TRUE(two);
  EXPECT_NE(one->pid, two->pid);
  ASSERT_TRUE(registry.find(one->pid, one->key));
  EXPECT_EQ(registry.find(one->pid, one->key)->pid, 77u);
  EXPECT_FALSE(registry.find(one->pid, two->key));
  EXPECT_FALSE(registry.find(one->pid, ""));
  registry.remove(one->pid);
  EXPECT_FALSE(registry.find(one->pid, one->key));
}

TEST(TopologySnapshot, ThePrimaryIsAHealthyOne) {
  TopologySnapshot snapshot;
  snapshot.nodes = {{"a", "10.0.0.1", 5432, NodeRole::kPrimary, false, "connection refused"},
                    {"b", "10.0.0.2", 5432, NodeRole::kReplica, true, ""}};
  EXPECT_EQ(snapshot.primary(), nullptr);
  EXPECT_NE(snapshot.describe().find("a (10.0.0.1:5432, primary): connection refused"), std::string::npos);
  snapshot.nodes[1].role = NodeRole::kPrimary;
  ASSERT_NE(snapshot.primary(), nullptr);
  EXPECT_EQ(snapshot.primary()->name, "b");
}

TEST(SessionStates, NothingIsRelayedBeforeBothLogins) {
  using State = Session::State;
  for (int i = 0; i <= static_cast<int>(State::kClosed); ++i) {
    const auto from = static_cast<State>(i);
    EXPECT_EQ(Session::may_follow(from, State::kRelay), from == State::kServerLogin) << Session::name(from);
    EXPECT_EQ(Session::may_follow(from, State::kClosed), from != State::kClosed) << Session::name(from);
    EXPECT_EQ(Session::may_follow(from, State::kFindingPrimary),
              from == State::kAuthenticating || from == State::kConnecting || from == State::kServerLogin);
  }
}

}  // namespace
}  // namespace pgb::proxy
