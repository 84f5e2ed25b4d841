#include "ha/decide.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "ha/candidate.h"
#include "ha/rejoin.h"
#include "ha/testing/views.h"
#include "ha/why.h"

namespace pgb::ha {
namespace {

using std::chrono::milliseconds;
using testing::electing;
using testing::group;
using testing::kNow;
using testing::leading;
using testing::primary;
using testing::standby;

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
  view.evidence["c"] = {Evidence::Contact::kAnswers, 1, false, kNow - milliseconds(100), 1};
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
  view.evidence["c"].failsafe = 0;
  EXPECT_EQ(decide(view, kNow).action, Action::kFence) << "it was not asked to vouch, and may elect another";
  view.evidence["c"] = {Evidence::Contact::kAnswers, 1, true, kNow - milliseconds(100), 1};
  EXPECT_EQ(decide(view, kNow).action, Action::kFence);
  view.evidence["c"] = {Evidence::Contact::kAnswers, 2, false, kNow, 1};
  EXPECT_EQ(decide(view, kNow).action, Action::kFence) << "it promised another";
}

TEST(Decide, WhoAloneMayLeadNeedsNoLeaseAndNobodysWord) {
  ClusterView view = leading();
  view.store.reachable = false;
  view.self.renewed = kNow - std::chrono::minutes(1);
  EXPECT_EQ(decide(view, kNow).action, Action::kFence);
  view.store.sync->set = view.self.sync.set = {};
  EXPECT_EQ(decide(view, kNow).action, Action::kWait) << "commits are on it alone";
  view.self.recording = true;
  EXPECT_EQ(decide(view, kNow).action, Action::kFence) << "the record may yet be another";
  view.self.recording = false;
  view.store.sync->durability = Durability::kAsync;
  EXPECT_EQ(decide(view, kNow).action, Action::kFence) << "others may lead without its commits";
  view.members = {"a"};
  view.peers.clear();
  EXPECT_EQ(decide(view, kNow).action, Action::kWait) << "there is nobody else";
  view.store.reachable = true;
  view.store.leader.reset();
  EXPECT_EQ(decide(view, kNow).action, Action::kAcquire);
}

TEST(Pause, APrimaryGoesOnWithoutTheStoreAndNobodyElseIsElected) {
  ClusterView view = leading();
  view.store.paused = true;
  view.store.reachable = false;
  view.self.renewed = kNow - std::chrono::minutes(1);
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kWait);
  EXPECT_EQ(decision.sentence, "paused: a goes on without the store");
  ClusterView other = electing();
  other.store.paused = true;
  EXPECT_EQ(decide(other, kNow).action, Action::kWait);
  EXPECT_NE(decide(other, kNow).sentence.find("paused: no election"), std::string::npos);
}

TEST(Pause, ALeaderThatIsAskedToResumeKeepsToItsLeaseFromThatMomentOn) {
  ClusterView view = leading();
  view.store.paused = true;
  view.store.request = Request{Request::Kind::kResume, "", false, kNow + milliseconds(9000), 7};
  Decision settled = decide(view, kNow);
  EXPECT_EQ(settled.action, Action::kClearRequest) << settled.sentence;
  view.store.reachable = false;  // the pause may be over by now: others may elect
  view.self.renewed = kNow - std::chrono::minutes(1);
  EXPECT_EQ(decide(view, kNow).action, Action::kFence);
}

TEST(Pause, OthersKeepThePauseUntilTheLeaderHasEndedIt) {
  ClusterView view = electing();
  view.store.paused = true;
  view.store.request = Request{Request::Kind::kResume, "", false, kNow + milliseconds(9000), 7};
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
  view.store.paused = false;
  EXPECT_EQ(decide(view, kNow).action, Action::kAcquire);
}

TEST(Pause, WhoWasNamedByALeaderThatLetGoTakesOverForASwitchover) {
  ClusterView view = electing();
  view.store.paused = true;
  view.store.request = Request{Request::Kind::kSwitchover, view.self.name, false, kNow + milliseconds(9000), 7};
  EXPECT_EQ(decide(view, kNow).action, Action::kWait) << "its key may only have run out: it may lead on";
  view.store.transfer = view.self.name;
  EXPECT_EQ(decide(view, kNow).action, Action::kAcquire);
  view.store.request->kind = Request::Kind::kFailover;
  EXPECT_EQ(decide(view, kNow).action, Action::kWait) << "a failover cannot know that nobody leads on";
}

TEST(Pause, ALeaderWhoseAgentWasRestartedTakesItsRoleBack) {
  ClusterView view = electing();
  view.store.paused = true;
  view.store.sync = SyncRecord{view.self.name, 1, Durability::kQuorum, {{"a", "c"}, 1}, 5};
  view.store.epoch.holder = view.self.name;
  view.self.led = 1;
  EXPECT_EQ(decide(view, kNow).action, Action::kAcquire) << decide(view, kNow).sentence;
  view.store.epoch.holder = "c";
  EXPECT_EQ(decide(view, kNow).action, Action::kWait) << "another was elected since";
}

TEST(Pause, AServerStaysStoppedUnlessItsAgentIsNewOrThereIsALeader) {
  ClusterView view = group(standby("b", 100), {standby("c", 90)});
  view.self.server = Server::kStopped;
  view.store.leader.reset();
  view.store.paused = true;
  EXPECT_EQ(decide(view, kNow).action, Action::kStartStandby) << "its agent has just been started";
  view.self.up_since = kNow - milliseconds(5000);
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
}

TEST(Pause, ASwitchoverGoesOnAfterTheLeaderHasStopped) {
  ClusterView view = leading();
  view.self.server = Server::kStopped;
  view.self.led = view.store.leader->epoch;
  view.store.paused = true;
  EXPECT_EQ(decide(view, kNow).action, Action::kWait) << decide(view, kNow).sentence;
  view.store.request = Request{Request::Kind::kSwitchover, "b", false, kNow + milliseconds(9000), 7};
  EXPECT_EQ(decide(view, kNow).action, Action::kRelease) << decide(view, kNow).sentence;
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
  EXPECT_EQ(decide(view, kNow).action, Action::kWait) << "the time that the user gave it is over";
  view.store.request->deadline = kNow + milliseconds(1);
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

// b alone follows a.
ClusterView leading_one(Durability durability) {
  ClusterView view = leading();
  view.members = {"a", "b"};
  view.peers.erase("c");
  view.self.links.erase("c");
  view.settings.durability = view.store.sync->durability = durability;
  view.store.sync->set = view.self.sync.set = {{"b"}, 1};
  view.store.request = Request{Request::Kind::kReinit, "b", false, kNow + std::chrono::minutes(1), 1};
  return view;
}

TEST(Why, ALeaderWhoseCommitsWaitSaysForWhom) {
  ClusterView view = leading();
  EXPECT_EQ(why(view, kNow).summary, "a leads under epoch 1");
  view.self.links["b"].streaming = view.self.links["c"].streaming = false;
  EXPECT_EQ(why(view, kNow).summary, "a leads under epoch 1; commits wait for any 1 of b, c, of whom 0 stream");
  view.self.sync.closed = true;
  EXPECT_NE(why(view, kNow).summary.find("no commit is acknowledged"), std::string::npos);
}

TEST(Decide, WhoIsTheOnlyCopyByTheRecordOpensWithoutWaitingForOthers) {
  ClusterView view = leading();
  view.store.leader->epoch = view.self.epoch = view.self.led = 2;
  view.store.epoch.epoch = 2;
  view.store.sync = SyncRecord{"a", 1, Durability::kQuorum, {}, 6};  // as one that was forced leaves it
  view.self.sync = {true, {}};
  view.self.links.clear();
  view.self.up_since = kNow;
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kRecordSync) << decision.sentence;
  view.store.sync->set = {{"b"}, 1};
  EXPECT_EQ(decide(view, kNow).action, Action::kKeepLease) << "b may have what it has not";
}

TEST(Decide, AReinitOfTheOnlyOtherCopyIsRefusedInStrictMode) {
  ClusterView view = leading_one(Durability::kStrict);
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kClearRequest);
  EXPECT_EQ(decision.sentence,
            "reinit refused: no other standby of a can have each commit in place of b, and strict never goes without; "
            "add one, or set durability to quorum");
  view.members.push_back("c");
  view.self.links["c"] = {true, 100, kNow};
  decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kRecordSync) << decision.sentence;
  EXPECT_EQ(decision.sync.set, (SyncSet{{"b", "c"}, 1})) << "c takes its place first";
}

TEST(Decide, AReinitOfTheOnlyOtherCopyDegradesAQuorum) {
  Decision decision = decide(leading_one(Durability::kQuorum), kNow);
  EXPECT_EQ(decision.action, Action::kRecordSync) << decision.sentence;
  EXPECT_EQ(decision.sync.set, SyncSet{});
}

TEST(Decide, ARequestThatItsNodeDidNotBeginIsGivenUpInTime) {
  ClusterView view = leading();
  view.store.request = Request{Request::Kind::kReinit, "c", false, kNow + milliseconds(1), 1};
  view.store.sync->set = view.self.sync.set = {{"b"}, 1};
  EXPECT_EQ(decide(view, kNow).action, Action::kKeepLease);
  view.store.request->deadline = kNow;
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kClearRequest);
  EXPECT_NE(decision.sentence.find("reinit of c given up"), std::string::npos) << decision.sentence;
  view.store.request->node = "z";
  EXPECT_EQ(decide(view, kNow).sentence, "reinit refused: z is not a member");
}

TEST(Decide, TheDataOfAnotherGroupProvesNothing) {
  ClusterView view = electing();
  ASSERT_EQ(decide(view, kNow).action, Action::kAcquire);
  view.peers["c"].system_id = "8000";
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kWait);
  EXPECT_NE(decision.sentence.find("not heard: c"), std::string::npos) << decision.sentence;
}

// The machine's clock may be set at any time: decisions go by what a view holds, and that has no wall clock.
static_assert(std::is_same_v<Time::clock, std::chrono::steady_clock>);

TEST(Decide, NeitherReadsAClockNorHoldsAWallClock) {
  const std::regex clocks("system_clock|utc_clock|::now\\(|gettimeofday|clock_gettime|std::time\\b|time_t");
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(PGB_SOURCE_DIR "/src/ha")) {
    std::string name = entry.path().filename();
    if (!entry.is_regular_file() || name.find("_test.cc") != std::string::npos) continue;
    std::ifstream file(entry.path());
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_FALSE(std::regex_search(text.str(), clocks)) << name;
    ++files;
  }
  EXPECT_GT(files, 15U);
}

TEST(Decide, OnlyTimesSinceMatterNotWhatTheClockReads) {
  ClusterView view = electing();
  Decision before = decide(view, kNow);
  Duration jump = std::chrono::hours(100'000);
  view.self.promised_at += jump;
  for (auto& [name, peer] : view.peers) peer.seen += jump;
  EXPECT_EQ(decide(view, kNow + jump), before);
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
