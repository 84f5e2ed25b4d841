#include <gtest/gtest.h>

#include "ha/decide.h"
#include "ha/testing/views.h"

namespace pgb::ha {
namespace {

using testing::group;
using testing::kNow;
using testing::primary;
using testing::standby;

// c, which is not in the record, is to be copied anew from a.
ClusterView asked(Server server) {
  ClusterView view = group(standby("c", 90), {primary("a", 100), standby("b", 100)});
  view.self.server = server;
  view.self.following.reset();
  view.store.sync->set = {{"b"}, 1};
  view.store.request = Request{Request::Kind::kReinit, "c", false, kNow + std::chrono::minutes(1), 7};
  return view;
}

TEST(Reinit, IsDoneByOneWhoseServerDoesNotStart) {
  ClusterView view = asked(Server::kStopped);
  view.self.flushed.reset();
  view.self.system_id.clear();  // its control file cannot be read
  view.self.failed_starts = 9;
  Decision decision = decide(view, kNow);
  EXPECT_EQ(decision.action, Action::kFullCopy) << decision.sentence;
  EXPECT_EQ(decision.node, "a");
  EXPECT_EQ(decision.epoch, 1U);
}

TEST(Reinit, EndsAStartThatMayNeverEnd) {
  Decision decision = decide(asked(Server::kStarting), kNow);
  EXPECT_EQ(decision.action, Action::kFence) << decision.sentence;
}

TEST(Reinit, IsDoneByOneThatFollowsNobodyYet) {
  EXPECT_EQ(decide(asked(Server::kStandby), kNow).action, Action::kFullCopy);
}

TEST(Reinit, NobodyWhomTheRecordCountsThrowsItsDataAway) {
  for (Server server : {Server::kStopped, Server::kStarting, Server::kStandby}) {
    ClusterView view = asked(server);
    view.store.sync->set = {{"b", "c"}, 1};
    const Action action = decide(view, kNow).action;
    const std::map<Server, Action> otherwise{{Server::kStopped, Action::kStartStandby},
                                             {Server::kStarting, Action::kWait},
                                             {Server::kStandby, Action::kFollow}};
    EXPECT_EQ(action, otherwise.at(server)) << decide(view, kNow).sentence;
    view.store.sync->set = {{"b"}, 1};
    view.store.sync->epoch = 0;  // a has yet to open
    EXPECT_EQ(decide(view, kNow).action, action) << decide(view, kNow).sentence;
  }
}

// In strict a leader cannot open without its only standby.
TEST(Reinit, WhoIsStillNeededFollowsAsItWouldOtherwise) {
  ClusterView view = asked(Server::kStandby);
  view.store.sync->set = {{"b", "c"}, 1};
  view.self.following = Following{"a", 0};  // from before a took a higher epoch
  EXPECT_EQ(decide(view, kNow).action, Action::kFollow) << decide(view, kNow).sentence;
  view.self.following->epoch = 1;
  EXPECT_EQ(decide(view, kNow).action, Action::kWait);
  EXPECT_NE(decide(view, kNow).sentence.find("keeps its data"), std::string::npos) << decide(view, kNow).sentence;
}

TEST(Reinit, NeitherAnotherGroupsDataNorAnotherNodesAreTouched) {
  for (Server server : {Server::kStopped, Server::kStandby}) {
    ClusterView view = asked(server);
    view.self.system_id = "8000";
    EXPECT_NE(decide(view, kNow).action, Action::kFullCopy) << decide(view, kNow).sentence;
    view = asked(server);
    view.store.request->node = "b";
    EXPECT_NE(decide(view, kNow).action, Action::kFullCopy) << decide(view, kNow).sentence;
  }
}

}  // namespace
}  // namespace pgb::ha
