// A leader that hangs, or whose disk has little room, and what its group can do about it.
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

constexpr uint64_t kMb = 1 << 20;

// Of all nodes.
void set_room(ClusterView& view, uint64_t room) {
  view.self.free_disk = room;
  for (auto& [name, peer] : view.peers) peer.free_disk = room;
}

ClusterView hung(Health health, milliseconds since) {
  ClusterView view = leading();
  view.self.health = health;
  view.self.well_at = kNow - since;
  return view;
}

// They are away since just now.
void lose_standbys(ClusterView& view) {
  for (auto& [name, link] : view.self.links) link.streaming = false, link.since = kNow;
}

TEST(Hung, HandsOverAtOnceOrIsRestartedInTime) {
  ClusterView view = hung(Health::kTcpOnly, milliseconds(14'999));
  EXPECT_EQ(decide(view, kNow).action, Action::kFence) << "b takes over";
  lose_standbys(view);
  EXPECT_EQ(decide(view, kNow).action, Action::kKeepLease) << decide(view, kNow).sentence;
  view.self.well_at -= milliseconds(1);
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kFence) << decision.sentence;
  EXPECT_EQ(decision.sentence,
            "a stops its server, to start it again: it has answered nothing for 15.0 s, and c does not stream");
  view.self.server = Server::kStopped;
  view.self.health = Health::kGood;
  view.self.fault = Fault::kStalled;
  view.peers.clear();
  decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kRestartInPlace) << decision.sentence;
  EXPECT_EQ(decision.epoch, 1U);
}

TEST(Hung, OneThatOnlyDoesNotWriteIsGivenMoreTime) {
  ClusterView view = hung(Health::kStalled, milliseconds(29'999));
  lose_standbys(view);
  EXPECT_EQ(decide(view, kNow).action, Action::kKeepLease);
  view.self.well_at -= milliseconds(1);
  EXPECT_EQ(decide(view, kNow).action, Action::kFence);
  view.store.paused = true;
  EXPECT_EQ(decide(view, kNow).action, Action::kKeepLease) << "paused";
}

TEST(Room, ASuccessorHasClearlyMoreOfIt) {
  ClusterView view = leading();
  view.self.free_disk = 255 * kMb;
  view.peers["b"].free_disk = view.peers["c"].free_disk = 511 * kMb;
  EXPECT_EQ(decide(view, kNow).action, Action::kKeepLease) << "it would soon come back";
  view.self.free_disk = 31 * kMb;
  EXPECT_EQ(decide(view, kNow).action, Action::kFence) << "that is clearly more";
  view.self.free_disk = 255 * kMb;
  view.peers["c"].free_disk = 512 * kMb;
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kFence);
  EXPECT_NE(decision.sentence.find("so that c leads"), std::string::npos) << decision.sentence;
}

TEST(Room, WhereNobodyHasMoreACrashedLeaderIsRestartedInPlace) {
  ClusterView view = leading();
  view.self.server = Server::kStopped;
  view.self.fault = Fault::kCrashed;
  set_room(view, 200 * kMb);
  EXPECT_EQ(decide(view, kNow).action, Action::kRestartInPlace) << decide(view, kNow).sentence;
  view.peers["c"].free_disk = 600 * kMb;
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kRelease) << decision.sentence;
  EXPECT_EQ(decision.node, "c");
  set_room(view, 31 * kMb);
  EXPECT_EQ(decide(view, kNow).action, Action::kWait) << "it cannot run";
}

TEST(Room, WhatElseSpeaksForAHandOverNeedsNoMoreRoomThanThereIs) {
  ClusterView view = leading();
  view.self.server = Server::kStopped;
  view.self.fault = Fault::kCrashed;
  view.self.recovery = milliseconds(5000);
  set_room(view, 200 * kMb);
  EXPECT_EQ(decide(view, kNow).action, Action::kRelease);
  view.self.free_disk = 300 * kMb;
  EXPECT_EQ(decide(view, kNow).action, Action::kRestartInPlace) << "the others have less than it may have";
}

TEST(Room, ElectsFirstWhoHasSomeButAlwaysSomebodyThatCanRun) {
  ClusterView view = electing();
  set_room(view, 200 * kMb);
  EXPECT_EQ(decide(view, kNow).action, Action::kAcquire) << decide(view, kNow).sentence;
  view.peers["c"].flushed = view.self.flushed;
  view.peers["c"].free_disk = 300 * kMb;
  EXPECT_EQ(best_candidate(view, 2, kNow), "c");
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
  view.self.promised_at = kNow - view.settings.turn;
  EXPECT_EQ(decide(view, kNow).action, Action::kAcquire) << "c did not act";
  view.self.free_disk = 31 * kMb;
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kWait);
  EXPECT_NE(decision.sentence.find("its disk has 31 MB left"), std::string::npos) << decision.sentence;
}

TEST(Suspended, WhatCoveredALeaderBeforeCoversItNoMore) {
  ClusterView view = leading();
  view.store.leader.reset();
  ASSERT_EQ(decide(view, kNow).action, Action::kAcquire) << "covered all the time";
  forget_cover(view, view.self.renewed);
  EXPECT_EQ(decide(view, kNow).action, Action::kAcquire) << "renewed since";
  forget_cover(view, view.self.renewed + milliseconds(1));
  EXPECT_EQ(decide(view, kNow).action, Action::kFence) << decide(view, kNow).sentence;
  view = leading();
  view.store.reachable = false;
  view.self.renewed = kNow - std::chrono::minutes(1);
  view.evidence["c"] = {Evidence::Contact::kAnswers, 1, false, kNow - milliseconds(100), 1};
  ASSERT_EQ(decide(view, kNow).action, Action::kWait);
  forget_cover(view, kNow - milliseconds(99));
  EXPECT_EQ(decide(view, kNow).action, Action::kFence) << "c vouched for it before";
}

}  // namespace
}  // namespace pgb::ha
