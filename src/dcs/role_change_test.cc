#include "dcs/role_change.h"

#include <gtest/gtest.h>

#include "dcs/store_for_tests.h"

namespace pgb::dcs {
namespace {

class RoleChangeTest : public ::testing::Test {
 protected:
  void put(const std::string& key, const std::string& value) {
    ASSERT_TRUE(store_.put(key, value, 0, Deadline::after(std::chrono::seconds(5))));
  }
  void lead(const std::string& node, int epoch) {
    const std::string of_epoch = "\"epoch\":" + std::to_string(epoch) + "}";
    put(keys_.leader(), "{\"holder\":\"" + node + "\"," + of_epoch);
    put(keys_.sync(), "{\"leader\":\"" + node + "\"," + of_epoch);
  }
  void end_request() {
    Txn txn;
    txn.then = {Op::remove({keys_.failover(), false})};
    ASSERT_TRUE(store_.inner().txn(txn, Deadline::after(std::chrono::seconds(5))));
  }
  int64_t ask() {
    const auto request = leave_request(store_, keys_, {"switchover", "node2", false});
    EXPECT_TRUE(request) << request.error().message;
    return request ? *request : 0;
  }
  Result<RoleChange> wait(int64_t request) {
    return wait_for_change(store_, keys_, "node1", request, [] { return Status(); });
  }

  StoreForTests store_;
  const Keys keys_{"shop", "lb1"};
};

TEST_F(RoleChangeTest, AChangeBetweenTwoQuestionsIsNotTakenForARefusal) {
  lead("node1", 3);
  const int64_t request = ask();
  const int first = 2;  // of the wait; to leave the request was one
  store_.before = [&](int number) {
    if (number != first + 1) return;
    lead("node2", 4);
    end_request();
  };
  const auto change = wait(request);
  ASSERT_TRUE(change) << change.error().message;
  EXPECT_EQ(change->to, "node2");
  EXPECT_EQ(change->epoch, 4u);
}

TEST_F(RoleChangeTest, ARefusalOfAnEarlierRequestIsNoReasonForThisOne) {
  lead("node1", 3);
  put(keys_.history_entry(3) + "-1-node1", R"({"action":"request","text":"of yesterday"})");
  const int64_t request = ask();
  end_request();
  EXPECT_EQ(wait(request).error().message, "the request is gone, and nobody says why");
  put(keys_.history_entry(3) + "-2-node1", R"({"action":"request","text":"node2 does not stream"})");
  EXPECT_EQ(wait(request).error().message, "node2 does not stream");
}

TEST(RoleRequest, EndsByItselfWhoeverLeftIt) {
  using std::chrono::seconds;
  const Keys keys("shop", "lb1");
  for (const bool failover : {true, false}) {
    auto now = std::chrono::steady_clock::now();
    const auto store = LocalStore::in_memory([&now] { return now; });
    ASSERT_TRUE(leave_request(*store, keys, {failover ? "failover" : "switchover", "node2", failover}));
    const auto stands = [&] {
      store->tick();
      return !store->range({keys.failover(), false}, Deadline::after(seconds(5)))->kvs.empty();
    };
    now += kRequestPatience - seconds(1);
    EXPECT_TRUE(stands());
    now += seconds(2);
    EXPECT_NE(stands(), failover) << "a leader is there to end a switchover, and to say why";
    now += seconds(60);
    EXPECT_FALSE(stands());
  }
}

}  // namespace
}  // namespace pgb::dcs
