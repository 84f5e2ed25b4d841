#include "cluster/group_store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cluster/pause.h"
#include "dcs/store_for_tests.h"

namespace pgb::cluster {
namespace {

using Loses = dcs::StoreForTests::Loses;

model::Cluster cluster_with_failover() {
  model::Cluster cluster;
  cluster.cluster_name = "shop";
  cluster.ha.failover = true;
  cluster.balancers.resize(1);
  cluster.balancers[0].name = "lb1";
  return cluster;
}

std::string detail(const Error& error, const std::string& label) {
  const auto found =
      std::find_if(error.details.begin(), error.details.end(), [&](const auto& d) { return d.first == label; });
  return found == error.details.end() ? "" : found->second;
}

TEST(GroupStore, ABalancerThatIsNotThereIsNoGroupWithoutFailover) {
  model::Cluster cluster = cluster_with_failover();
  const auto missing = group_of(cluster, {}, cluster.balancers[0], {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotReady);
  EXPECT_NE(missing.error().message.find("lb1 is not there"), std::string::npos) << missing.error().message;
  EXPECT_EQ(detail(missing.error(), "try"), "pgbalancer_cluster init");
  cluster.ha.failover = false;
  const auto plain = group_of(cluster, {}, cluster.balancers[0], {});
  ASSERT_FALSE(plain);
  EXPECT_NE(plain.error().message.find("do not choose a primary"), std::string::npos) << plain.error().message;
}

class PauseTest : public ::testing::Test {
 protected:
  PauseTest() {
    const model::Cluster cluster = cluster_with_failover();
    auto store = std::make_unique<dcs::StoreForTests>();
    store_ = store.get();
    group_ =
        std::make_unique<Group>(Group{cluster, {}, cluster.balancers[0], std::move(store), dcs::Keys("shop", "lb1")});
  }
  bool stands() { return read_state(*group_)->pause.has_value(); }
  // As another manager would, in the moment between the look and the write.
  void another_pauses_first(bool and_resumes) {
    store_->before = [this, and_resumes](int number) {
      const auto limit = Deadline::after(std::chrono::seconds(5));
      const std::string key = group_->keys.paused();
      if (number == 2) {
        ASSERT_TRUE(store_->put(key, R"({"since":"before","by":"another"})", 0, limit));
      }
      if (number == 3 && and_resumes) {
        dcs::Txn txn;
        txn.then = {dcs::Op::remove({key, false})};
        ASSERT_TRUE(store_->inner().txn(txn, limit));
      }
    };
  }

  dcs::StoreForTests* store_ = nullptr;
  std::unique_ptr<Group> group_;
};

TEST_F(PauseTest, StandsWhereItWasPut) {
  const auto done = put_pause(*group_);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(done->changed);
  EXPECT_TRUE(stands());
  const auto again = put_pause(*group_);
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->changed);
  EXPECT_EQ(again->pause.since, done->pause.since);
}

TEST_F(PauseTest, WhereTheAnswerDoesNotComeTheStoreIsLookedAt) {
  store_->loses = Loses::kAnswers;
  const auto done = put_pause(*group_);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(done->changed) << "it is ours";
  EXPECT_TRUE(stands());
}

TEST_F(PauseTest, WhatNobodyKnowsIsNotCalledUnchanged) {
  store_->loses = Loses::kQuestions;
  const auto done = put_pause(*group_);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kInDoubt);
  EXPECT_NE(detail(done.error(), "standing").find("nobody knows whether it is paused"), std::string::npos);
  EXPECT_EQ(detail(done.error(), "changed"), "");
  EXPECT_FALSE(detail(done.error(), "look").empty());
}

TEST_F(PauseTest, ThePauseOfAnotherIsNotCalledOurs) {
  another_pauses_first(false);
  const auto done = put_pause(*group_);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_FALSE(done->changed);
  EXPECT_EQ(done->pause.by, "another");
  EXPECT_EQ(done->pause.since, "before");
}

TEST_F(PauseTest, APauseThatHasJustEndedIsNoPause) {
  another_pauses_first(true);
  const auto done = put_pause(*group_);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kNotReady);
  EXPECT_EQ(detail(done.error(), "changed"), "nothing");
}

}  // namespace
}  // namespace pgb::cluster
