// What a failover may lose in async.
#include <gtest/gtest.h>

#include "ha/candidate.h"
#include "ha/decide.h"
#include "ha/testing/views.h"

namespace pgb::ha {
namespace {

using std::chrono::milliseconds;
using testing::electing;
using testing::kNow;
using testing::leading;

constexpr Lsn kFar = 100 << 20;

// a leads under async; b has all but `behind` of its WAL, c is farther behind. As a's walsenders know, and as b said.
ClusterView leading_async(Lsn behind) {
  ClusterView view = leading();
  view.settings.durability = view.store.sync->durability = Durability::kAsync;
  view.store.sync->set = view.self.sync.set = {};
  view.self.flushed->lsn = kFar;
  view.self.links["b"].flushed = view.peers["b"].flushed->lsn = kFar - behind;
  view.self.links["c"].flushed = view.peers["c"].flushed->lsn = 100;
  return view;
}

// And a's server has crashed, a restart takes long.
ClusterView crashed(Lsn behind) {
  ClusterView view = leading_async(behind);
  view.self.server = Server::kStopped;
  view.self.fault = Fault::kCrashed;
  view.self.recovery = milliseconds(5000);
  view.self.was_at = view.self.flushed;
  view.self.flushed.reset();
  for (auto& [name, link] : view.self.links) link.streaming = false;
  return view;
}

TEST(LagLimit, AServerThatCrashedIsRestartedWhereNobodyIsNear) {
  const ClusterView view = crashed(17 << 20);
  const Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kRestartInPlace) << decision.sentence;
  EXPECT_NE(decision.sentence.find("and no more than 16 MB may be lost"), std::string::npos) << decision.sentence;
  ClusterView quorum = view;
  quorum.store.sync->durability = Durability::kQuorum;
  quorum.store.sync->set = {{"b", "c"}, 1};
  EXPECT_EQ(decide(quorum, kNow).action, Action::kRelease) << "what others have not was never acknowledged";
}

TEST(LagLimit, AServerThatCrashedIsHandedOverToOneThatIsNear) {
  const Decision decision = decide(crashed(15 << 20), kNow);
  EXPECT_EQ(decision.action, Action::kRelease) << decision.sentence;
  EXPECT_EQ(decision.node, "b");
  ClusterView view = crashed(15 << 20);
  view.settings.lag_limit = 1 << 20;
  EXPECT_EQ(decide(view, kNow).action, Action::kRestartInPlace);
}

TEST(LagLimit, WhatAStandbyConfirmedCountsAlsoIfItHasNotSaidSoYet) {
  ClusterView view = crashed(0);
  view.peers["b"].flushed->lsn = 100;
  EXPECT_EQ(decide(view, kNow).action, Action::kRelease) << decide(view, kNow).sentence;
}

TEST(LagLimit, AfterACleanStopTheStandbysGoByItsEndThemselves) {
  ClusterView view = crashed(17 << 20);
  view.self.fault = Fault::kNone;
  view.self.flushed = Position{1, kFar};
  view.self.was_at.reset();
  view.store.request = Request{Request::Kind::kSwitchover, "b", false, kNow + milliseconds(9000), 1};
  EXPECT_EQ(decide(view, kNow).action, Action::kRelease) << decide(view, kNow).sentence;
}

TEST(LagLimit, AServerThatStallsOrIsFullLeadsOnWhereNobodyIsNear) {
  for (const bool far : {true, false}) {
    ClusterView stalled = leading_async(far ? 17 << 20 : 0), full = stalled;
    stalled.self.health = Health::kStalled;
    stalled.self.well_at = kNow;
    full.self.free_disk = 1 << 20;
    for (const ClusterView& view : {stalled, full}) {
      EXPECT_EQ(decide(view, kNow).action, far ? Action::kKeepLease : Action::kFence) << decide(view, kNow).sentence;
    }
  }
}

TEST(LagLimit, WhatALeaderWasKnownToHaveIsMeasuredAgainstWhenItHasCrashed) {
  ClusterView view = electing();
  view.store.sync->durability = Durability::kAsync;
  NodeView& last = view.peers["a"];
  last.server = Server::kStopped;
  last.was_at = Position{1, kFar};
  last.flushed.reset();
  const Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kWait) << decision.sentence;
  EXPECT_NE(decision.sentence.find("behind what a published last"), std::string::npos) << decision.sentence;
  last.was_at = Position{1, 16 << 20};
  EXPECT_EQ(decide(view, kNow).action, Action::kAcquire) << decide(view, kNow).sentence;
  last.was_at.reset();
  EXPECT_EQ(decide(view, kNow).action, Action::kAcquire) << "nothing is known of it";
}

TEST(LagLimit, AnOrderByForceGoesBeyondIt) {
  ClusterView view = electing();
  view.store.sync->durability = Durability::kAsync;
  view.peers["a"].was_at = Position{1, kFar};
  view.peers["a"].flushed.reset();
  view.store.request = Request{Request::Kind::kFailover, "b", true, kNow + milliseconds(1000), 1};
  const Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kAcquire) << decision.sentence;
  EXPECT_TRUE(decision.lossy);
}

}  // namespace
}  // namespace pgb::ha
