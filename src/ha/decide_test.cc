#include "ha/decide.h"

#include <gtest/gtest.h>

#include "ha/candidate.h"
#include "ha/rejoin.h"
#include "ha/why.h"

namespace pgb::ha {
namespace {

using std::chrono::milliseconds;

const Time kNow = Time{} + std::chrono::hours(1);

NodeView standby(const std::string& name, Lsn lsn) {
  NodeView node;
  node.name = name;
  node.server = Server::kStandby;
  node.system_id = "7000";
  node.flushed = Position{1, lsn};
  node.history = {{1, 0}};
  node.promised = 1;
  node.following = Following{"a", 1};
  node.streaming = true;
  node.seen = kNow;
  return node;
}

NodeView primary(const std::string& name, Lsn lsn) {
  NodeView node = standby(name, lsn);
  node.server = Server::kPrimary;
  node.following.reset();
  node.epoch = node.led = 1;
  return node;
}

// a leads epoch 1, b and c follow; commits are on any one of them.
ClusterView group(const NodeView& self, const std::vector<NodeView>& peers) {
  ClusterView view;
  static_cast<NodeView&>(view.self) = self;
  for (const auto& peer : peers) view.peers[peer.name] = peer;
  view.members = {"a", "b", "c"};
  view.store.reachable = true;
  view.store.leader = LeaderKey{"a", 1, 11, 5};
  view.store.epoch = {1, "a", 1, 5};
  view.store.sync = SyncRecord{"a", 1, Durability::kQuorum, {{"b", "c"}, 1}, 6};
  return view;
}

ClusterView leading() {
  ClusterView view = group(primary("a", 100), {standby("b", 100), standby("c", 90)});
  view.self.lease = 11;
  view.self.renewed = kNow - milliseconds(500);
  view.self.sync = {false, {{"b", "c"}, 1}};
  view.self.links = {{"b", {true, 100, kNow - std::chrono::minutes(1)}},
                     {"c", {true, 90, kNow - std::chrono::minutes(1)}}};
  return view;
}

// Both standbys have promised epoch 2; b decides.
ClusterView electing() {
  NodeView b = standby("b", 100);
  NodeView c = standby("c", 90);
  b.promised = c.promised = 2;
  b.following.reset();
  c.following.reset();
  ClusterView view = group(b, {primary("a", 100), c});
  view.store.leader.reset();
  view.self.promised_at = kNow - milliseconds(400);
  return view;
}

TEST(Decide, ALeaderKeepsItsLeaseWhileAllIsWell) {
  Decision decision = decide(leading(), kNow);
  EXPECT_EQ(decision.action, Action::kKeepLease);
  EXPECT_EQ(decision.sentence, "a leads epoch 1, commits are on itself and any 1 of b, c");
}

TEST(Decide, ALeaderStopsBeforeItsLeaseCanHaveRunOut) {
  ClusterView view = leading();
  view.store.reachable = false;
  view.self.renewed = kNow - milliseconds(2499);
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
  view.self.renewed = kNow - milliseconds(2500);
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kFence) << decision.sentence;
}

TEST(Decide, FailsafeHoldsWhileAMemberItNeedsAnswersThatTheStoreIsSilentToItToo) {
  ClusterView view = leading();
  view.store.reachable = false;
  view.self.renewed = kNow - std::chrono::minutes(1);
  view.evidence["c"] = {Evidence::Contact::kAnswers, 1, false, kNow - milliseconds(100)};
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
  view.evidence["c"].store_reachable = true;
  EXPECT_EQ(decide(view, kNow).action, Action::kFence);
  view.evidence["c"] = {Evidence::Contact::kAnswers, 2, false, kNow};
  EXPECT_EQ(decide(view, kNow).action, Action::kFence) << "it promised another";
}

TEST(Decide, AStandbyNeverStopsStreamingBecauseTheStoreIsSilent) {
  ClusterView view = group(standby("b", 100), {primary("a", 100), standby("c", 90)});
  view.store.reachable = false;
  view.store.leader.reset();
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
}

TEST(Decide, TwoRefusedObserversNeedNoLeaseToRunOut) {
  ClusterView view = group(standby("b", 100), {primary("a", 100), standby("c", 90)});
  view.evidence["a"] = {Evidence::Contact::kRefused, 0, true, kNow};
  EXPECT_EQ(decide(view, kNow).action, Action::kWait) << "one is not enough";
  view.peers["c"].refused = {"a"};
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kDetach);
  EXPECT_EQ(decision.epoch, 2U);
}

TEST(Decide, TheStandbyThatHasAllTakesTheNextEpochAndAFreshTimeline) {
  Decision decision = decide(electing(), kNow);
  EXPECT_EQ(decision.action, Action::kAcquire) << decision.sentence;
  EXPECT_EQ(decision.epoch, 2U);
  EXPECT_EQ(decision.timeline, 2U);
}

TEST(Decide, NobodyIsElectedWhileAMemberThatMayHaveACommitIsUnheard) {
  ClusterView view = electing();
  view.peers["c"].promised = 1;
  view.peers["c"].following = Following{"a", 1};
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kWait);
  EXPECT_NE(decision.sentence.find("not heard: c"), std::string::npos) << decision.sentence;
  EXPECT_FALSE(why(view, kNow).candidates[0].cost.empty());
  view.store.request = Request{Request::Kind::kFailover, "b", true, kNow, 1};
  decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kAcquire);
  EXPECT_TRUE(decision.lossy);
  EXPECT_NE(decision.sentence.find("is lost"), std::string::npos) << decision.sentence;
}

TEST(Decide, OneThatIsBehindLeavesItToTheBetter) {
  ClusterView view = electing();
  view.self.flushed->lsn = 80;
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
}

TEST(Decide, APromotionStartsClosed) {
  ClusterView view = electing();
  view.store.leader = LeaderKey{"b", 2, 12, 9};
  view.store.epoch = {2, "b", 2, 9};
  view.self.lease = 12;
  view.self.renewed = kNow;
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kPromote);
  EXPECT_TRUE(decision.sync.closed);
  EXPECT_EQ(decision.timeline, 2U);
}

TEST(Decide, ASwitchoverStopsTheOldBeforeItLetsTheNewLead) {
  ClusterView view = leading();
  view.store.request = Request{Request::Kind::kSwitchover, "b", false, kNow + std::chrono::seconds(10), 1};
  EXPECT_EQ(decide(view, kNow).action, Action::kCheckpoint);
  view.self.checkpointed = true;
  EXPECT_EQ(decide(view, kNow).action, Action::kStopCleanly);
  view.self.server = Server::kStopped;
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kRelease);
  EXPECT_EQ(decision.node, "b");
}

TEST(Decide, ACrashedServerIsRestartedOrHandedOverWhicheverIsSooner) {
  ClusterView view = leading();
  view.self.server = Server::kStopped;
  view.self.fault = Fault::kCrashed;
  view.self.recovery = milliseconds(200);
  EXPECT_EQ(decide(view, kNow).action, Action::kRestartInPlace);
  view.self.recovery = milliseconds(5000);
  EXPECT_EQ(decide(view, kNow).action, Action::kRelease);
}

TEST(Decide, AFullDiskMovesTheRoleOnlyToOneWithRoom) {
  ClusterView view = leading();
  view.self.free_disk = 1 << 20;
  view.peers["b"].free_disk = view.peers["c"].free_disk = 1 << 20;
  EXPECT_EQ(decide(view, kNow).action, Action::kKeepLease);
  view.peers["c"].free_disk = UINT64_MAX;
  EXPECT_EQ(decide(view, kNow).action, Action::kFence);
}

TEST(Rejoin, GoesByTheTimelinesHistory) {
  NodeView self = standby("a", 120);
  NodeView leader = primary("b", 200);
  leader.flushed = Position{2, 200};
  leader.history = {{1, 0}, {2, 110}};
  EXPECT_EQ(rejoin(self, leader).rung, Rung::kRewind) << "10 bytes after the fork";
  self.flushed->lsn = 110;
  EXPECT_EQ(rejoin(self, leader).rung, Rung::kFollow);
  self.flushed = Position{2, 150};
  self.history = {{1, 0}, {2, 105}};
  EXPECT_EQ(rejoin(self, leader).rung, Rung::kFullCopy) << "the same number, another timeline";
  self.system_id = "8000";
  EXPECT_EQ(rejoin(self, leader).rung, Rung::kForeign);
}

TEST(Rejoin, TheLadderEnds) {
  NodeView self = standby("a", 120);
  NodeView leader = primary("b", 200);
  self.trouble = Trouble::kDiverged;
  EXPECT_EQ(rejoin(self, leader).rung, Rung::kRewind);
  self.failed_rewinds = 2;
  EXPECT_EQ(rejoin(self, leader).rung, Rung::kFullCopy);
}

}  // namespace
}  // namespace pgb::ha
