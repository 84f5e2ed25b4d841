#include "dcs/pause.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "dcs/store_for_tests.h"

namespace pgb::dcs {
namespace {

class PauseTest : public ::testing::Test {
 protected:
  void put(const std::string& key, const std::string& value) {
    ASSERT_TRUE(store_.put(key, value, 0, Deadline::after(std::chrono::seconds(5))));
  }
  void remove(const std::string& key) {
    Txn txn;
    txn.then = {Op::remove({key, false})};
    ASSERT_TRUE(store_.inner().txn(txn, Deadline::after(std::chrono::seconds(5))));
  }
  // A paused group that node1 leads.
  void found() {
    put(keys_.leader(), R"({"holder":"node1","epoch":3})");
    put(keys_.paused(), R"({"since":"before","by":"another"})");
  }
  Result<PauseEnd> end() {
    return end_pause(store_, keys_, [] { return Status(); });
  }
  static std::string detail(const Error& error, const std::string& label) {
    const auto found =
        std::find_if(error.details.begin(), error.details.end(), [&](const auto& d) { return d.first == label; });
    return found == error.details.end() ? "" : found->second;
  }

  StoreForTests store_;
  const Keys keys_{"shop", "lb1"};
  const Error no_leader_{Code::kNotReady, "the store has no leader"};
};

TEST_F(PauseTest, WhereTheStoreDoesNotTellWhatStandsNothingIsSaidToHaveEnded) {
  found();
  store_.before = [this](int number) {
    if (number == 2) store_.refuses = no_leader_;  // the look after the refusal
  };
  const auto begun = begin_pause(store_, keys_, 3, "manager", {"now", "alice"});
  ASSERT_FALSE(begun);
  EXPECT_EQ(begun.error().message, no_leader_.message);
  EXPECT_NE(detail(begun.error(), "standing"), "");
}

TEST_F(PauseTest, IsEndedByTheLeader) {
  found();
  store_.before = [this](int number) {
    if (number == 2) remove(keys_.paused());
  };
  const auto ended = end();
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(*ended, PauseEnd::kEnded);
}

TEST_F(PauseTest, ALeaderThatIsGoneIsNoError) {
  found();
  store_.before = [this](int number) {
    if (number == 2) remove(keys_.leader());
  };
  const auto ended = end();
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(*ended, PauseEnd::kNobodyLeads);
}

TEST_F(PauseTest, AStoreThatCannotTellIsNotALeaderThatIsGone) {
  found();
  store_.before = [this](int number) {
    if (number == 2) remove(keys_.failover());     // not done, and not to be done
    if (number == 4) store_.refuses = no_leader_;  // the last look
  };
  const auto ended = end();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().message, no_leader_.message);
  EXPECT_NE(detail(ended.error(), "standing").find("not known"), std::string::npos);
}

TEST_F(PauseTest, WhereNobodyCouldBeAskedItStands) {
  found();
  store_.refuses = no_leader_;
  const auto ended = end();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().message, no_leader_.message);
  EXPECT_EQ(detail(ended.error(), "standing"), "it is still paused");
}

}  // namespace
}  // namespace pgb::dcs
