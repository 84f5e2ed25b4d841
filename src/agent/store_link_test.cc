#include "agent/store_link.h"

#include <gtest/gtest.h>

#include <thread>

#include "dcs/embedded_store.h"
#include "os/test_dir.h"

namespace pgb::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

class StoreLinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.cluster = "shop";
    config_.group = "lb1";
    config_.name = "node1";
    start_store(0);
    config_.store_endpoints = {"http://127.0.0.1:" + std::to_string(store_->port())};
    auto link = StoreLink::open(config_, [] {});
    ASSERT_TRUE(link) << link.error().message;
    link_ = std::move(*link);
  }
  void start_store(uint16_t port) {
    auto store = dcs::EmbeddedStore::start({dir_.path + "/store", "127.0.0.1", port, "", {}});
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
  }
  // What stands there: empty if nothing does.
  std::string value_of(const std::string& key) {
    const auto found = store_->store().range({key, false}, Deadline::after(seconds(5)));
    return found && !found->kvs.empty() ? found->kvs[0].value : "";
  }
  std::string question() { return value_of(keys_.handover()); }
  bool is_asked_within(milliseconds limit, bool asked) {
    for (const Deadline end = Deadline::after(limit); !end.expired(); std::this_thread::sleep_for(milliseconds(5))) {
      if (question().empty() != asked) return true;
    }
    return false;
  }

  os::TestDir dir_;
  AgentConfig config_;
  const dcs::Keys keys_{"shop", "lb1"};
  std::unique_ptr<dcs::EmbeddedStore> store_;
  std::unique_ptr<StoreLink> link_;
};

TEST_F(StoreLinkTest, AQuestionForQuietIsTakenBackSoon) {
  EXPECT_FALSE(link_->ask_for_quiet(0, Deadline::after(milliseconds(50)))) << "there is no balancer";
  EXPECT_EQ(question(), R"({"node":"node1"})");
  link_->end_quiet();
  EXPECT_TRUE(is_asked_within(seconds(5), false));
}

TEST_F(StoreLinkTest, WhatWasNotAskedHereIsNotTakenBack) {
  ASSERT_TRUE(store_->store().put(keys_.handover(), R"({"node":"node2"})", 0, Deadline::after(seconds(5))));
  link_->end_quiet();
  ASSERT_TRUE(link_->refresh());
  EXPECT_FALSE(is_asked_within(milliseconds(300), false)) << "it is another's";
}

TEST_F(StoreLinkTest, ASilentStoreHoldsNobodyUpAndHearsOfItWhenItIsBack) {
  EXPECT_FALSE(link_->ask_for_quiet(0, Deadline::after(milliseconds(50))));
  const uint16_t port = store_->port();
  store_.reset();
  const auto began = Clock::now();
  link_->end_quiet();
  EXPECT_LT(Clock::now() - began, milliseconds(100));
  start_store(port);
  ASSERT_NE(store_, nullptr);
  EXPECT_TRUE(is_asked_within(seconds(10), false));
}

TEST_F(StoreLinkTest, WhatAnotherAsksMeanwhileIsNotTakenBack) {
  const std::string anothers = R"({"node":"node2"})";
  EXPECT_FALSE(link_->ask_for_quiet(0, Deadline::after(milliseconds(50))));
  const uint16_t port = store_->port();
  store_.reset();
  link_->end_quiet();
  start_store(0);  // where this one does not look
  ASSERT_NE(store_, nullptr);
  ASSERT_TRUE(store_->store().put(keys_.handover(), anothers, 0, Deadline::after(seconds(5))));
  store_.reset();
  start_store(port);
  ASSERT_NE(store_, nullptr);
  for (const Deadline end = Deadline::after(seconds(10)); !link_->refresh() && !end.expired();) {
  }
  EXPECT_FALSE(is_asked_within(milliseconds(1000), false)) << "it is another's";
  EXPECT_EQ(question(), anothers);
}

TEST_F(StoreLinkTest, WhatWentWithTheRoleIsNotTakenBackLater) {
  const auto lease = store_->store().grant(seconds(30), Deadline::after(seconds(5)));
  ASSERT_TRUE(lease);
  const ha::LeaderKey leader{"node1", 1, static_cast<uint64_t>(lease->id), 0};
  ASSERT_TRUE(store_->store().put(keys_.leader(), to_json(leader), lease->id, Deadline::after(seconds(5))));
  EXPECT_FALSE(link_->ask_for_quiet(leader.lease, Deadline::after(milliseconds(50))));
  ha::ClusterView seen;
  seen.store.leader = leader;
  ASSERT_TRUE(link_->release(seen, {}, {}));
  EXPECT_EQ(question(), "");
  ASSERT_TRUE(store_->store().put(keys_.handover(), R"({"node":"node1"})", 0, Deadline::after(seconds(5))));
  link_->end_quiet();
  EXPECT_FALSE(is_asked_within(milliseconds(500), false)) << "nothing is asked any more that is to be taken back";
}

// A switchover that its leader lets go for stands for whom it is named for, and for nobody else: the next one would
// hand over again.
TEST_F(StoreLinkTest, ARequestGoesWithTheRoleToWhomItNames) {
  struct Case {
    std::string asked, in_favour, left;
  };
  for (const auto& [asked, in_favour, left] :
       {Case{"", "node2", "node2"}, Case{"node3", "", "node3"}, Case{"node1", "", ""}, Case{"", "", ""}}) {
    const auto lease = store_->store().grant(seconds(30), Deadline::after(seconds(5)));
    ASSERT_TRUE(lease);
    const ha::LeaderKey leader{"node1", 1, static_cast<uint64_t>(lease->id), 0};
    ASSERT_TRUE(store_->store().put(keys_.leader(), to_json(leader), lease->id, Deadline::after(seconds(5))));
    ha::ClusterView seen;
    seen.store.leader = leader;
    seen.store.request = ha::Request{ha::Request::Kind::kSwitchover, asked, false, Clock::now() + seconds(20), 1};
    ASSERT_TRUE(store_->store().put(keys_.failover(), to_json(*seen.store.request, seconds(20)), 0,
                                    Deadline::after(seconds(5))));
    ha::Decision decision;
    decision.node = in_favour;
    ASSERT_TRUE(link_->release(seen, decision, {}));
    const std::string found = value_of(keys_.failover());
    EXPECT_EQ(found.empty(), left.empty()) << asked << ", " << in_favour << ": " << found;
    EXPECT_NE(found.find(left.empty() ? "" : "\"" + left + "\""), std::string::npos) << found;
  }
}

}  // namespace
}  // namespace pgb::agent
