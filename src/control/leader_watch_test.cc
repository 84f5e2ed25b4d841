#include "control/leader_watch.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>

#include "dcs/embedded_store.h"
#include "dcs/etcd_client.h"
#include "dcs/local_store.h"
#include "os/test_dir.h"

namespace pgb::control {
namespace {

TEST(LeaderWatch, TellsOfTheGroupsLeaderAtOnceAndOfEveryChange) {
  using Told = std::vector<std::optional<proxy::Leader>>;
  const auto store = dcs::LocalStore::in_memory();
  const auto put = [&](const std::string& group, const std::string& value) {
    return store->put("/pgbalancer/shop/" + group + "/leader", value, 0, Deadline::after(std::chrono::seconds(5)));
  };
  ASSERT_TRUE(put("lb1", R"({"holder":"a","epoch":1})"));
  ASSERT_TRUE(put("lb2", R"({"holder":"x","epoch":9})"));
  std::mutex mutex;
  std::condition_variable more;
  Told told;
  LeaderWatch watch(
      {*store, "lb1"},
      [&](std::optional<proxy::Leader> leader) {
        const std::lock_guard lock(mutex);
        told.push_back(std::move(leader));
        more.notify_all();
      },
      [](const std::string&) { return true; });
  const auto wait_for = [&](size_t count) {
    std::unique_lock lock(mutex);
    more.wait_for(lock, std::chrono::seconds(10), [&] { return told.size() >= count; });
    return told;
  };
  EXPECT_EQ(wait_for(1), (Told{proxy::Leader{"a", 1}}));
  ASSERT_TRUE(put("lb2", R"({"holder":"y","epoch":10})"));
  ASSERT_TRUE(put("lb1", R"({"holder":"b","epoch":2})"));
  ASSERT_TRUE(store->txn({{}, {dcs::Op::remove({"/pgbalancer/shop/lb1/leader", false})}, {}},
                         Deadline::after(std::chrono::seconds(5))));
  EXPECT_EQ(wait_for(3), (Told{proxy::Leader{"a", 1}, proxy::Leader{"b", 2}, proxy::Leader{"", 2}}));
  ASSERT_TRUE(store->put("/pgbalancer/shop/lb1/paused", "{}", 0, Deadline::after(std::chrono::seconds(5))));
  EXPECT_EQ(wait_for(4).back(), std::nullopt) << "agents may be away";
  ASSERT_TRUE(store->txn({{}, {dcs::Op::remove({"/pgbalancer/shop/lb1/paused", false})}, {}},
                         Deadline::after(std::chrono::seconds(5))));
  EXPECT_EQ(wait_for(5).back(), (proxy::Leader{"", 2}));
}

TEST(LeaderWatch, AStoreThatHasNamedNobodyYetSaysNothing) {
  const auto store = dcs::LocalStore::in_memory();
  ASSERT_TRUE(store->put("/pgbalancer/shop/lb1/members/a", "{}", 0, Deadline::after(std::chrono::seconds(5))));
  std::promise<std::optional<proxy::Leader>> first;
  LeaderWatch watch(
      {*store, "lb1"}, [&](std::optional<proxy::Leader> leader) { first.set_value(std::move(leader)); },
      [](const std::string&) { return true; });
  EXPECT_EQ(first.get_future().get(), std::nullopt);
}

TEST(LeaderWatch, WhoIsAboutToHandOverHearsThatNothingIsUnderWayAndStaysUntilAnotherLeads) {
  const auto limit = [] { return Deadline::after(std::chrono::seconds(5)); };
  const auto store = dcs::LocalStore::in_memory();
  std::mutex mutex;
  std::condition_variable more;
  std::vector<std::string> leaving;
  LeaderWatch watch(
      {*store, "lb1"}, [](const auto&) {},
      [&](const std::string& node) {
        const std::lock_guard lock(mutex);
        leaving.push_back(node);
        more.notify_all();
        return node != "b";  // where something goes on
      });
  const auto wait_for = [&](size_t count) {
    std::unique_lock lock(mutex);
    more.wait_for(lock, std::chrono::seconds(10), [&] { return leaving.size() >= count; });
    return leaving;
  };
  const auto answered = [&] {
    for (int i = 0; i < 500; ++i) {
      const auto now = store->range({"/pgbalancer/shop/lb1/handover", false}, limit());
      if (now && !now->kvs.empty() && now->kvs[0].value.find("quiet") != std::string::npos) return now->kvs[0].lease;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return dcs::LeaseId{-1};
  };
  const auto lease = store->grant(std::chrono::seconds(60), limit());
  ASSERT_TRUE(lease);
  ASSERT_TRUE(store->put("/pgbalancer/shop/lb1/handover", R"({"node":"a"})", lease->id, limit()));
  EXPECT_EQ(wait_for(1), (std::vector<std::string>{"a"}));
  EXPECT_EQ(answered(), lease->id) << "the answer vanishes with the leader's lease";
  ASSERT_TRUE(store->put("/pgbalancer/shop/lb1/leader", R"({"holder":"b","epoch":2})", 0, limit()));
  EXPECT_EQ(wait_for(2), (std::vector<std::string>{"a", ""}));
  ASSERT_TRUE(store->put("/pgbalancer/shop/lb1/handover", R"({"node":"b"})", lease->id, limit()));
  EXPECT_EQ(wait_for(3).back(), "b");
  ASSERT_TRUE(store->revoke(lease->id, limit()).ok());
  EXPECT_EQ(wait_for(4).back(), "") << "a leader that is gone does not hand over";
}

TEST(LeaderWatch, OfAStoreElsewhereItTakesItsOwnGroupAndNobodyOnceItIsSilent) {
  os::TestDir dir;
  dcs::EmbeddedSettings settings;
  settings.directory = dir.path;
  settings.port = 0;
  auto elsewhere = dcs::EmbeddedStore::start(settings);
  ASSERT_TRUE(elsewhere.ok()) << elsewhere.error().message;
  dcs::EtcdSettings to;
  to.endpoints = {"http://127.0.0.1:" + std::to_string((*elsewhere)->port())};
  auto etcd = dcs::make_etcd_client(std::move(to));
  ASSERT_TRUE(etcd.ok()) << etcd.error().message;
  const auto put = [&](const std::string& cluster, const std::string& value) {
    return (*etcd)->put("/pgbalancer/" + cluster + "/lb1/leader", value, 0, Deadline::after(std::chrono::seconds(5)));
  };
  ASSERT_TRUE(put("shop", R"({"holder":"a","epoch":1})"));
  ASSERT_TRUE(put("mill", R"({"holder":"x","epoch":9})"));
  std::mutex mutex;
  std::condition_variable more;
  std::vector<std::optional<proxy::Leader>> told;
  LeaderWatch watch(
      {**etcd, "lb1", "/pgbalancer/shop/lb1/", std::chrono::milliseconds(300)},
      [&](std::optional<proxy::Leader> leader) {
        const std::lock_guard lock(mutex);
        if (told.empty() || told.back() != leader) told.push_back(std::move(leader));
        more.notify_all();
      },
      [](const std::string&) { return true; });
  const auto last_of = [&](size_t count) {
    std::unique_lock lock(mutex);
    more.wait_for(lock, std::chrono::seconds(20), [&] { return told.size() >= count; });
    return told.size() == count ? told.back() : proxy::Leader{"one word too many or too few", 0};
  };
  EXPECT_EQ(last_of(1), (proxy::Leader{"a", 1}));
  ASSERT_TRUE(put("mill", R"({"holder":"y","epoch":10})"));
  ASSERT_TRUE(put("shop", R"({"holder":"b","epoch":2})"));
  EXPECT_EQ(last_of(2), (proxy::Leader{"b", 2}));
  elsewhere->reset();
  EXPECT_EQ(last_of(3), std::nullopt);
}

TEST(LeaderWatch, AValueThatNamesNobodyIsNoLeader) {
  for (const char* text : {"", "{}", "[]", "x", R"({"holder":1,"epoch":1})", R"({"holder":"a","epoch":"1"})"}) {
    EXPECT_FALSE(parse_leader(text)) << text;
  }
}

}  // namespace
}  // namespace pgb::control
