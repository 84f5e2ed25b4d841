// A standby that streams from the elected one before that is a primary.
#include <gtest/gtest.h>

#include "ha/decide.h"
#include "ha/testing/views.h"

namespace pgb::ha {
namespace {

using testing::electing;
using testing::kNow;

// c has given its position for epoch 2, b is elected with it, and not yet a primary.
ClusterView under_elected() {
  ClusterView view = electing();
  NodeView b = view.self;
  static_cast<NodeView&>(view.self) = view.peers["c"];
  view.peers.erase("c");
  view.peers["b"] = b;
  view.store.leader = LeaderKey{"b", 2, 12, 9};
  view.store.epoch = {2, "b", 2, 9};
  return view;
}

TEST(FollowEarly, AStandbyFollowsTheElectedOneWhileThatIsPromoted) {
  ClusterView view = under_elected();
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kFollow) << decision.sentence;
  EXPECT_EQ(decision.node, "b");
  EXPECT_EQ(decision.epoch, 2U);
  view.peers["b"].server = Server::kStarting;
  view.self.flushed = view.peers["b"].flushed;
  EXPECT_EQ(decide(view, kNow).action, Action::kFollow);
}

TEST(FollowEarly, AStandbyWaitsForAPrimaryWhereMoreMayComeThanTheNewTimelineBeginsWith) {
  auto waits = [](auto change) {
    ClusterView view = under_elected();
    change(view);
    Decision decision = decide(view, kNow);
    EXPECT_EQ(decision.event, Event::kLeaderNotReady) << decision.sentence;
  };
  waits([](ClusterView& view) { view.self.flushed->lsn = 101; });                   // it has more
  waits([](ClusterView& view) { view.peers["b"].promised = 1; });                   // b's position is of before
  waits([](ClusterView& view) { view.peers["b"].following = Following{"a", 1}; });  // it still gets WAL
  waits([](ClusterView& view) { view.peers["b"].flushed.reset(); });
  waits([](ClusterView& view) { view.peers["b"].server = Server::kStopped; });
  waits([](ClusterView& view) { view.self.flushed->timeline = 3; });
  waits([](ClusterView& view) { view.store.sync->leader = "c"; });  // b may be lost before it opens: then c takes over
}

}  // namespace
}  // namespace pgb::ha
