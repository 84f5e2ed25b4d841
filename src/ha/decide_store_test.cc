// What is under way, what elections leave in the store, and a store that is not what it was.
#include <gtest/gtest.h>

#include "ha/candidate.h"
#include "ha/decide.h"
#include "ha/testing/views.h"

namespace pgb::ha {
namespace {

using std::chrono::milliseconds;
using testing::electing;
using testing::group;
using testing::kNow;
using testing::leading;
using testing::primary;
using testing::standby;

// c has gone: a is about to take it out of the sync set.
ClusterView losing_a_standby() {
  ClusterView view = leading();
  view.store.sync->set = view.self.sync.set = {{"b", "c"}, 2};
  view.settings.required = 1;
  return view;
}

TEST(UnderWay, NothingIsRecordedUntilTheLastSettingIsInEffect) {
  ClusterView view = losing_a_standby();
  ASSERT_EQ(decide(view, kNow).action, Action::kRecordSync);
  view.self.applying = ServerSync{false, {{"b"}, 1}};
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kApplySync) << decision.sentence;
  EXPECT_EQ(decision.sync, *view.self.applying) << "again, and no other";
}

TEST(UnderWay, NothingIsSetUntilTheLastRecordIsKnown) {
  ClusterView view = leading();
  view.self.sync = {false, {{"b", "c"}, 2}};
  ASSERT_EQ(decide(view, kNow).action, Action::kApplySync);
  view.self.recording = true;
  Decision decision = decide(view, kNow);
  ASSERT_EQ(decision.action, Action::kRecordSync) << decision.sentence;
  ASSERT_TRUE(decision.record);
  EXPECT_EQ(decision.record->set, view.store.sync->set) << "the same again: of two only one can happen";
}

TEST(UnderWay, ClosingNeedNotWait) {
  ClusterView view = leading();
  view.store.sync->leader = "c";  // opened in async, before durability was raised
  view.self.recording = true;
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kApplySync) << decision.sentence;
  EXPECT_TRUE(decision.sync.closed);
}

TEST(Restart, InPlaceIsUnderTheEpochOfTheKey) {
  ClusterView view = leading();
  view.self.server = Server::kStopped;
  view.self.epoch = 0;  // it was started as a standby in between
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kRestartInPlace);
  EXPECT_EQ(decision.epoch, 1U);
}

TEST(Restart, NoPrimaryComesBackThatPromisedALaterLeader) {
  ClusterView view = leading();
  view.self.server = Server::kStopped;
  view.self.promised = 2;  // with a position that others may count on
  EXPECT_EQ(decide(view, kNow).action, Action::kRelease) << "nobody leads by that key any more";
  view.store.leader.reset();
  EXPECT_EQ(decide(view, kNow).action, Action::kStartStandby);
}

TEST(Restart, NobodyIsPromotedAgainUnderAnEpochThatItLed) {
  ClusterView view = leading();
  view.self.server = Server::kStandby;
  view.self.epoch = 0;
  for (Epoch led : {1, 3}) {  // 3: it wrote that down to take epoch 3, and the transaction failed
    view.self.led = led;
    EXPECT_EQ(decide(view, kNow).action, Action::kRelease) << led;
  }
}

TEST(Heirs, AnElectionLeavesItsTimelineInTheRecord) {
  ClusterView view = electing();
  Decision decision = decide(view, kNow);
  ASSERT_EQ(decision.action, Action::kAcquire) << decision.sentence;
  ASSERT_TRUE(decision.record);
  EXPECT_EQ(decision.record->heirs, std::vector<Timeline>{2});
  EXPECT_EQ(decision.record->set, view.store.sync->set) << "what the last leader recorded still holds";
  EXPECT_EQ(decision.record->leader, "a");
}

TEST(Heirs, WhoHasTheTimelineOfOneMayLeadAlsoAlone) {
  ClusterView view = electing();
  view.self.promised = 3;
  view.store.epoch = {2, "c", 2, 9};
  view.self.flushed = Position{2, 110};
  view.self.history = {{1, 0}, {2, 100}};
  ASSERT_EQ(decide(view, kNow).action, Action::kWait) << "c is not heard under this epoch";
  view.store.sync->heirs = {2};
  Decision decision = decide(view, kNow);
  ASSERT_EQ(decision.action, Action::kAcquire) << decision.sentence;
  EXPECT_EQ(decision.record->heirs, (std::vector<Timeline>{2, 3}));
}

TEST(Heirs, AForcedLeaderIsTheOnlyOneAtOnce) {
  ClusterView view = electing();
  view.peers["c"].promised = 1;
  view.store.request = Request{Request::Kind::kFailover, "b", true, kNow + std::chrono::seconds(1), 1};
  Decision decision = decide(view, kNow);
  ASSERT_TRUE(decision.lossy) << decision.sentence;
  ASSERT_TRUE(decision.record);
  EXPECT_EQ(decision.record->leader, "b");
  EXPECT_EQ(decision.record->set, SyncSet{});
  EXPECT_EQ(decision.record->heirs, std::vector<Timeline>{2});
  EXPECT_EQ(decision.led, 1U);
  view.store.sync->leader = "b";  // its data are no longer those it led with
  decision = decide(view, kNow);
  EXPECT_EQ(decision.led, 0U) << "else it would be taken for intact if the transaction failed";
  view.store.sync = decision.record;
  view.store.request.reset();
  view.peers["c"].promised = view.self.promised;
  decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kAcquire) << "its promotion may fail: " << decision.sentence;
  EXPECT_FALSE(decision.lossy);
}

TEST(Refused, IsNoAgentThatAnswers) {
  ClusterView view = group(standby("b", 100), {primary("a", 100), standby("c", 90)});
  view.store.request = Request{Request::Kind::kFailover, "", false, kNow + std::chrono::minutes(1), 1};
  view.peers["c"].refused = {"a"};
  ASSERT_EQ(decide(view, kNow).action, Action::kDetach);
  view.evidence["a"] = {Evidence::Contact::kAnswers, 1, true, kNow};
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
}

TEST(Refused, NewsFromBeforeTheKeyIsOld) {
  ClusterView view = group(standby("b", 100), {primary("a", 100), standby("c", 90)});
  view.evidence["a"] = {Evidence::Contact::kRefused, 0, true, kNow};
  view.peers["c"].refused = {"a"};
  view.peers["c"].seen = view.self.promised_at = kNow - milliseconds(500);
  EXPECT_EQ(decide(view, kNow).action, Action::kWait) << "a took the epoch that b promised then";
  view.peers["c"].seen = kNow - milliseconds(400);
  EXPECT_EQ(decide(view, kNow).action, Action::kDetach);
}

// The store was restored from a copy, and /sync names b as the only other one with each commit.
ClusterView restored() {
  ClusterView view = electing();
  view.store.sync->set = {{"b"}, 1};
  view.self.promised_at = kNow - std::chrono::minutes(1);
  view.store.restored = kNow - milliseconds(100);
  return view;
}

TEST(Restored, AnElectionGoesByAllNodesAndPromisesMadeSince) {
  ClusterView view = restored();
  view.store.restored.reset();
  ASSERT_EQ(decide(view, kNow).action, Action::kAcquire);
  view = restored();
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kDetach) << decision.sentence;
  EXPECT_EQ(decision.epoch, 3U);
  view.self.promised = 3;
  view.self.promised_at = kNow - milliseconds(50);
  EXPECT_EQ(decide(view, kNow + milliseconds(5000)).action, Action::kWait) << "a and c are not heard";
  view.peers["a"].server = Server::kStandby;
  view.peers["a"].following.reset();
  view.peers["a"].flushed = Position{1, 95};
  view.peers["a"].promised = view.peers["c"].promised = 3;
  decision = decide(view, kNow);
  ASSERT_EQ(decision.action, Action::kAcquire) << decision.sentence;
  EXPECT_EQ(decision.record->leader, "b") << "the old record is void";
  view.peers["a"].seen = kNow - milliseconds(101);
  EXPECT_NE(decide(view, kNow).action, Action::kAcquire) << "a may have been elected by what it published then";
}

TEST(Restored, ATimelineThatTheStoreDoesNotKnowVoidsTheRecord) {
  ClusterView view = restored();
  view.store.restored.reset();
  view.peers["a"].flushed = Position{2, 100};
  EXPECT_TRUE(record_is_stale(view));
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
}

TEST(Restored, TheLeaderRecordsThatItHasAll) {
  ClusterView view = leading();
  view.store.restored = kNow;
  Decision decision = decide(view, kNow);
  ASSERT_EQ(decision.action, Action::kRecordSync) << decision.sentence;
  EXPECT_EQ(decision.record->set, SyncSet{});
  view.store.leader = LeaderKey{"c", 0, 3, 2};  // an old one
  view.store.epoch = {0, "c", 1, 2};
  decision = decide(view, kNow);
  ASSERT_EQ(decision.action, Action::kAcquire) << decision.sentence;
  EXPECT_EQ(decision.record->set, SyncSet{});
  EXPECT_EQ(decision.record->leader, "a");
}

TEST(Restored, AForcedLeaderOfAnEmptiedStoreLeavesAGapForWhatItCannotKnow) {
  ClusterView view = electing();
  view.store.epoch = {};
  view.store.sync.reset();
  view.peers.clear();
  view.store.request = Request{Request::Kind::kFailover, "b", true, kNow + std::chrono::seconds(1), 1};
  Decision decision = decide(view, kNow);
  ASSERT_TRUE(decision.lossy) << decision.sentence;
  EXPECT_GE(decision.epoch, 1000U);
  EXPECT_GE(decision.timeline, 100U);
}

// Somebody put the data of another group on b.
TEST(Foreign, DataNeverLeadAndAreNeverStarted) {
  ClusterView view = electing();
  view.store.sync->set = {{"b"}, 1};
  ASSERT_EQ(decide(view, kNow).action, Action::kAcquire);
  view.store.epoch.system_id = "7000";
  view.self.system_id = "8000";
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
  view.store.request = Request{Request::Kind::kFailover, "b", true, kNow + std::chrono::seconds(1), 1};
  EXPECT_EQ(decide(view, kNow).action, Action::kWait) << "also if forced";
  view.self.server = Server::kStopped;
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kWait);
  EXPECT_EQ(decision.sentence,
            "b does not start: its system identifier 8000 is not 7000, that of the group; put its own data back, or "
            "remove them to get a copy");
}

TEST(Foreign, DataOfTheLastLeaderAreNoMeasure) {
  ClusterView view = electing();
  view.store.epoch.system_id = "7000";
  view.store.sync->set = {{"b", "c"}, 1};
  view.peers["c"].promised = 1;
  view.peers["a"].server = Server::kStopped;
  view.peers["a"].promised = 2;
  ASSERT_EQ(decide(view, kNow).action, Action::kAcquire) << "b has all WAL of a";
  view.peers["a"].system_id = "8000";
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
}

}  // namespace
}  // namespace pgb::ha
