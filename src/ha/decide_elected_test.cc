// Who holds the key and cannot lead under it lets go, and the lease is not kept alive for nobody.
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

// b holds the key of epoch 2, for timeline 2.
ClusterView elected() {
  ClusterView view = electing();
  view.store.leader = LeaderKey{"b", 2, 12, 9};
  view.store.epoch = {2, "b", 2, 9};
  view.self.lease = 12;
  view.self.renewed = kNow;
  return view;
}

TEST(Elected, AFailedPromotionUsesItsEpochUpWhateverStartsAfterIt) {
  ClusterView view = elected();
  ASSERT_EQ(decide(view, kNow).action, Action::kPromote);
  view.self.spent = 2;  // and a start as a standby succeeded since: failed_starts is 0
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kRelease) << decision.sentence;
  EXPECT_GT(decision.epoch, 2U);
  EXPECT_EQ(decision.sentence, "b gives epoch 2 up: its promotion failed");
  view.store.leader->epoch = view.store.epoch.epoch = 3;  // the next one is another
  view.store.epoch.timeline = 3;
  view.self.promised = 3;
  EXPECT_EQ(decide(view, kNow).action, Action::kPromote);
}

TEST(Elected, WithItsServerDownItLetsGoBeforeItStartsThat) {
  ClusterView view = elected();
  view.self.server = Server::kStopped;
  view.self.flushed.reset();
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kRelease) << "its recovery may take long";
  EXPECT_EQ(decision.sentence, "b gives epoch 2 up: its server went down before it was a primary");
  view.self.spent = 2;
  EXPECT_EQ(decide(view, kNow).action, Action::kRelease) << decide(view, kNow).sentence;
  view.store.reachable = false;
  EXPECT_EQ(decide(view, kNow).action, Action::kStartStandby) << "nobody hears of a release";
}

TEST(Elected, InAPauseItComesBackRatherThanLetGo) {
  ClusterView view = elected();
  view.store.paused = true;
  view.self.server = Server::kStopped;
  view.self.flushed.reset();
  EXPECT_EQ(decide(view, kNow).action, Action::kStartStandby) << "nobody else may be elected meanwhile";
  view.self.spent = 2;
  EXPECT_EQ(decide(view, kNow).action, Action::kRelease) << "it would never be promoted";
}

TEST(Elected, WhoLetsGoKeepsInMindWhomTheSwitchoverIsFor) {
  ClusterView view = elected();
  view.self.spent = 2;
  view.store.request = Request{Request::Kind::kSwitchover, "c", false, kNow + milliseconds(9000), 1};
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kRelease);
  EXPECT_EQ(decision.node, "c");
  view.store.request->node = "b";
  EXPECT_EQ(decide(view, kNow).node, "") << "it was for itself, and has failed";
}

TEST(Elected, WhoCouldNotBePromotedLetsOthersGoFirst) {
  ClusterView view = electing();
  ASSERT_EQ(best_candidate(view, 2, kNow), "b");
  view.self.failed_promotions = 1;
  view.peers["c"].flushed = view.self.flushed;
  EXPECT_EQ(best_candidate(view, 2, kNow), "c");
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
  view.self.promised_at = kNow - view.settings.turn;
  EXPECT_EQ(decide(view, kNow).action, Action::kAcquire) << "nobody else did";
}

TEST(Elected, WhoFailsAgainAndAgainTriesLessAndLessOften) {
  ClusterView view = electing();
  view.peers["c"].flushed.reset();
  view.store.sync->set = {{"b"}, 1};
  view.self.failed_promotions = 3;
  view.self.promised_at = kNow - milliseconds(3999);
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kWait);
  EXPECT_NE(decision.sentence.find("its promotion failed before"), std::string::npos) << decision.sentence;
  view.store.request = Request{Request::Kind::kFailover, "", false, kNow + milliseconds(1), 1};
  EXPECT_EQ(decide(view, kNow).action, Action::kAcquire) << "a user asks for it now";
  view.store.request.reset();
  view.self.promised_at -= milliseconds(1);
  EXPECT_EQ(decide(view, kNow).action, Action::kAcquire);
}

// It promised a later leader and let go, but the store did not hear of it.
TEST(Lease, OfAKeyThatWasGivenUpIsNotRenewedAndTheReleaseIsSaidAgain) {
  ClusterView view = leading();
  EXPECT_TRUE(renews(view, decide(view, kNow)));
  view.self.promised = 2;
  for (Server server : {Server::kStopped, Server::kStandby}) {
    view.self.server = server;
    Decision decision = decide(view, kNow);
    EXPECT_EQ(decision.action, Action::kRelease) << decision.sentence;
    EXPECT_EQ(decision.epoch, 2U);
    EXPECT_FALSE(renews(view, decision));
  }
  view.self.server = Server::kStarting;
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kWait);
  EXPECT_FALSE(renews(view, decision)) << "nobody can lead while it is kept alive";
  view.self.promised = 1;
  EXPECT_TRUE(renews(view, decision)) << "restarted in place";
}

TEST(Lease, APrimaryThatPromisedALaterEpochRenewsUntilItHasIt) {
  ClusterView view = leading();
  view.self.promised = 2;
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kAcquire);
  EXPECT_TRUE(renews(view, decision));
  view.self.lease = 0;
  EXPECT_FALSE(renews(view, decision));
}

}  // namespace
}  // namespace pgb::ha
