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
  std::string question() {
    const auto found = store_->store().range({keys_.handover(), false}, Deadline::after(seconds(5)));
    return found && !found->kvs.empty() ? found->kvs[0].value : "";
  }
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

}  // namespace
}  // namespace pgb::agent
