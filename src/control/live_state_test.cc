#include "control/live_state.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "control/fake_proxy.h"
#include "dcs/local_store.h"

namespace pgb::control {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;

// A group whose state a test changes.
class Group : public FakeProxy {
 public:
  proxy::TopologyPtr topology() const override {
    const std::lock_guard lock(mutex_);
    return topology_;
  }
  proxy::OrdersPtr orders() const override {
    const std::lock_guard lock(mutex_);
    return orders_;
  }
  void set(std::vector<proxy::NodeView> nodes) {
    auto next = std::make_shared<proxy::TopologySnapshot>();
    next->nodes = std::move(nodes);
    const std::lock_guard lock(mutex_);
    next->version = topology_->version + 1;
    topology_ = std::move(next);
  }
  // Nothing can be asked meanwhile.
  void hold(bool on) { held_ = on; }
  std::vector<proxy::TrafficRow> traffic() const override {
    while (held_) std::this_thread::sleep_for(milliseconds(2));
    return FakeProxy::traffic();
  }
  std::vector<proxy::ClientRow> clients() const override {
    std::vector<proxy::ClientRow> rows(5);
    for (proxy::ClientRow& row : rows) row.state = "paused";
    rows[0].waiting_s = 7;
    rows[1].state = "active";
    return rows;
  }
  void set_paused(bool paused) {
    auto next = std::make_shared<proxy::Orders>();
    next->paused = paused;
    const std::lock_guard lock(mutex_);
    orders_ = std::move(next);
  }

 private:
  std::atomic<bool> held_{false};
  mutable std::mutex mutex_;
  proxy::TopologyPtr topology_ = std::make_shared<proxy::TopologySnapshot>();
  proxy::OrdersPtr orders_ = std::make_shared<proxy::Orders>();
};

constexpr auto kPrimary = proxy::NodeRole::kPrimary, kReplica = proxy::NodeRole::kReplica;

proxy::NodeView node(const char* name, proxy::NodeRole role, bool healthy = true, const char* error = "") {
  proxy::NodeView view;
  view.name = name;
  view.host = "10.0.0.1";
  view.role = role;
  view.healthy = healthy;
  view.last_error = error;
  return view;
}

class LiveStateTest : public ::testing::Test {
 protected:
  LiveStateTest() { group_.set({node("a", kPrimary), node("b", kReplica)}); }
  void start(const GroupRoles* roles = nullptr) {
    live_ = std::make_unique<LiveState>(group_, roles,
                                        LiveState::Settings{"lb1", "shop", milliseconds(5), milliseconds(20), 2});
  }
  Json snapshot() { return Json::parse(live_->snapshot({"viewer", "alice"})); }
  template <class Holds>
  Json wait_for(Holds holds) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    Json now = snapshot();
    while (!holds(now) && std::chrono::steady_clock::now() < limit) {
      std::this_thread::sleep_for(milliseconds(2));
      now = snapshot();
    }
    EXPECT_TRUE(holds(now)) << now.dump(1);
    return now;
  }
  static bool tells(const Json& snapshot, const std::string& text) {
    for (const Json& event : snapshot["events"]) {
      if (event["text"].get<std::string>().find(text) != std::string::npos) return true;
    }
    return false;
  }
  Group group_;
  std::unique_ptr<LiveState> live_;
};

TEST_F(LiveStateTest, TellsTheGroupAndWhoAsks) {
  start();
  const Json now = snapshot();
  EXPECT_EQ(now["group"], "lb1");
  EXPECT_EQ(now["cluster"], "shop");
  EXPECT_EQ(now["state"], "healthy");
  EXPECT_EQ(now["sentence"], "");
  EXPECT_EQ(now["ha"], nullptr);
  EXPECT_EQ(now["you"], (Json{{"role", "viewer"}, {"user", "alice"}}));
  EXPECT_EQ(now["nodes"][1]["name"], "b");
  EXPECT_EQ(now["nodes"][1]["state"], "up");
  EXPECT_EQ(now["links"][0], (Json{{"from", "a"}, {"to", "b"}, {"state", "streaming"}, {"source", "positions"}}));
  EXPECT_EQ(now["clients"]["waiting"], 2);
  EXPECT_EQ(now["clients"]["longest_wait_s"], 1.25);
}

TEST_F(LiveStateTest, ALostPrimaryIsSeenAndExplained) {
  start();
  group_.set({node("a", kPrimary, false, "connection refused"), node("b", kReplica)});
  Json now = wait_for([](const Json& s) { return s["state"] == "no_primary"; });
  EXPECT_NE(now["sentence"].get<std::string>().find("a is down: connection refused"), std::string::npos);
  EXPECT_EQ(now["links"][0]["state"], "unknown");
  EXPECT_TRUE(tells(now, "a is down: connection refused"));
  EXPECT_TRUE(tells(now, "there is no primary"));
  group_.set({node("a", kPrimary, false, "connection refused"), node("b", kPrimary)});
  now = wait_for([](const Json& s) { return s["state"] == "degraded"; });
  EXPECT_TRUE(tells(now, "b is the primary; there was none for about"));
  const LiveState::RoleNumbers roles = live_->role_numbers();
  EXPECT_EQ(roles.counts.primary_losses, 1u);
  EXPECT_EQ(roles.counts.primary_changes, 1u);
  EXPECT_GT(roles.counts.without_primary_s, 0);
  EXPECT_FALSE(roles.roles) << "no store is kept here";
  EXPECT_EQ(live_->role_numbers().counts.without_primary_s, roles.counts.without_primary_s) << "it has ended";
}

TEST_F(LiveStateTest, OrdersAreEvents) {
  start();
  group_.set_paused(true);
  Json now = wait_for([](const Json& s) { return s["paused"] == true; });
  EXPECT_TRUE(tells(now, "all databases are paused"));
  EXPECT_EQ(now["clients"]["waiting"], 4) << "those that are kept back wait, too";
  EXPECT_EQ(now["clients"]["longest_wait_s"], 7);
  EXPECT_NE(now["sentence"].get<std::string>().find("paused"), std::string::npos);
  group_.set_paused(false);
  now = wait_for([](const Json& s) { return s["paused"] == false; });
  EXPECT_TRUE(tells(now, "all databases go on"));
}

TEST_F(LiveStateTest, AStreamTellsStatesAndEventsEachOnce) {
  start();
  const auto stream = live_->open(std::nullopt);
  ASSERT_TRUE(stream);
  std::string heard = stream->next(milliseconds(5000));
  EXPECT_EQ(heard.compare(0, 4, "id: "), 0) << heard;
  EXPECT_NE(heard.find("\nevent: state\ndata: {"), std::string::npos) << heard;
  group_.set_paused(true);
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  heard.clear();
  while (heard.find("\"paused\":true") == std::string::npos && std::chrono::steady_clock::now() < limit) {
    heard += stream->next(milliseconds(50));
  }
  const size_t event = heard.find("event: event\ndata: ");
  ASSERT_NE(event, std::string::npos) << heard;
  EXPECT_NE(heard.find("all databases are paused"), std::string::npos);
  for (int i = 0; i < 3; ++i) heard = stream->next(milliseconds(5000));
  EXPECT_EQ(heard.find("event: event"), std::string::npos) << "told again: " << heard;
}

TEST_F(LiveStateTest, WhoComesBackGetsTheEventsThatHeMissed) {
  start();
  group_.set_paused(true);
  const Json now = wait_for([](const Json& s) { return s["paused"] == true; });
  const auto known = EventPosition::parse(now["last_event_id"].get<std::string>());
  EXPECT_EQ(known.event, now["events"].back()["id"]);
  const auto tells_after = [&](int64_t difference) {
    EventPosition from = known;
    from.event += static_cast<uint64_t>(difference);
    return live_->open(from)->next(milliseconds(5000)).find("event: event") != std::string::npos;
  };
  EXPECT_FALSE(tells_after(0));
  EXPECT_TRUE(tells_after(-1));
  EXPECT_FALSE(tells_after(100));
}

// Numbers of another process mean nothing here; the lease store's history is one for all of them.
TEST_F(LiveStateTest, WhoComesFromAnotherProcessMissesNothingAndHearsNothingTwice) {
  const auto store = dcs::LocalStore::in_memory();
  const auto put = [&](const std::string& key, const std::string& value) {
    return store->put("/pgbalancer/shop/lb1/" + key, value, 0, Deadline::after(std::chrono::seconds(5))).value();
  };
  put("leader", R"({"holder":"a","epoch":2})");
  const auto first = put("history/0000000001-1-a", R"({"time":"t1","node":"a","action":"acquire","text":"first"})");
  put("history/0000000002-2-a", R"({"time":"t2","node":"a","action":"acquire","text":"second"})");
  GroupRoles roles("lb1");
  roles.use(store.get());
  start(&roles);
  // Before the history was read, and after it.
  for (int round = 0; round < 2; ++round) {
    const auto stream = live_->open(EventPosition{"another", 1000, first});
    group_.set_paused(round == 0);
    std::string heard;
    const std::string news = round == 0 ? "databases are paused" : "databases go on";
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while ((heard.find("\"second\"") == std::string::npos || heard.find(news) == std::string::npos) &&
           std::chrono::steady_clock::now() < limit) {
      heard += stream->next(milliseconds(50));
    }
    EXPECT_NE(heard.find("\"second\""), std::string::npos) << heard;
    EXPECT_NE(heard.find(news), std::string::npos) << heard;
    EXPECT_EQ(heard.find("\"first\""), std::string::npos) << "told again: " << heard;
  }
  live_.reset();
  roles.use(nullptr);
}

TEST_F(LiveStateTest, WhatIsNotLookedAtAnyMoreGetsOld) {
  start();
  EXPECT_LT(snapshot()["age_s"], 3);
  const auto stream = live_->open(std::nullopt);
  group_.hold(true);
  const Json now = wait_for([](const Json& s) { return s["age_s"] > 3.1; });
  EXPECT_EQ(now["state"], "healthy") << "as it was seen then";
  const std::string text = live_->text();
  EXPECT_NE(text.find("unknown"), std::string::npos) << text;
  EXPECT_NE(text.find("has not looked at the group for 3 s"), std::string::npos) << text;
  EXPECT_EQ(text.find("healthy"), std::string::npos) << text;
  EXPECT_NE(stream->next(milliseconds(5000)).find("{\"age_s\":3."), std::string::npos);
  group_.hold(false);
  wait_for([](const Json& s) { return s["age_s"] < 1; });
  EXPECT_EQ(live_->text().find("has not looked"), std::string::npos);
}

// As etcd behind a broken line.
class SilentStore : public dcs::Dcs {
 public:
  Result<dcs::Snapshot> range(const dcs::Range&, Deadline deadline) override { return wait(deadline); }
  Result<dcs::Revision> put(const std::string&, const std::string&, dcs::LeaseId, Deadline deadline) override {
    return wait(deadline);
  }
  Result<dcs::TxnResult> txn(const dcs::Txn&, Deadline deadline) override { return wait(deadline); }
  Result<dcs::Lease> grant(std::chrono::seconds, Deadline deadline) override { return wait(deadline); }
  Result<std::chrono::seconds> keep_alive(dcs::LeaseId, Deadline deadline) override { return wait(deadline); }
  Status revoke(dcs::LeaseId, Deadline deadline) override { return wait(deadline); }
  Result<dcs::LeaseInfo> time_to_live(dcs::LeaseId, Deadline deadline) override { return wait(deadline); }
  Status watch(const std::string&, dcs::Revision, Deadline deadline, Canceller*,
               const std::function<bool(const dcs::Changes&)>&) override {
    return wait(deadline);
  }

 private:
  static Error wait(Deadline deadline) {
    while (!deadline.expired()) std::this_thread::sleep_for(milliseconds(5));
    return Error(Code::kTimeout, "nobody answers");
  }
};

TEST_F(LiveStateTest, AStoreThatDoesNotAnswerMakesNothingElseOld) {
  SilentStore silent;
  GroupRoles roles("lb1", "shop");
  roles.use(&silent);
  start(&roles);
  for (int i = 0; i < 10; ++i) {
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_LT(snapshot()["age_s"], 0.5);
  }
  EXPECT_EQ(snapshot()["ha"], nullptr);
  live_.reset();
  roles.use(nullptr);
}

TEST_F(LiveStateTest, SoManyStreamsAndNoMore) {
  start();
  auto first = live_->open(std::nullopt);
  const auto second = live_->open(std::nullopt);
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(live_->open(std::nullopt));
  first.reset();
  EXPECT_TRUE(live_->open(std::nullopt));
}

TEST_F(LiveStateTest, TheTextIsForEightyColumnsAndSteersNoTerminal) {
  group_.set({node("a", kPrimary), node("\x1b[2Jevil\n", kReplica, false, "refused\x07")});
  start();
  const std::string text = live_->text();
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\x07'), std::string::npos);
  EXPECT_NE(text.find("degraded"), std::string::npos) << text;
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) EXPECT_LE(end - begin, 81u);
}

TEST(EventLogTest, ForgetsTheOldest) {
  EventLog log;
  for (size_t i = 0; i < EventLog::kMost + 10; ++i) log.add({});
  EXPECT_EQ(log.all().size(), EventLog::kMost);
  EXPECT_EQ(log.all().front().id, 11u);
  EXPECT_EQ(log.since(log.newest().event - 1).size(), 1u);
}

TEST(EventPositionTest, IsTextAndComesBack) {
  const EventPosition at{"ab12", 7, 1234};
  EXPECT_EQ(at.text(), "ab12-7-1234");
  const EventPosition again = EventPosition::parse(at.text());
  EXPECT_EQ(again.run, at.run);
  EXPECT_EQ(again.event, 7u);
  EXPECT_EQ(again.revision, 1234);
  for (const char* text : {"", "17", "a-b", "a-1-x", "a-1-2-3", "a--2", "a-1-99999999999999999999"}) {
    EXPECT_EQ(EventPosition::parse(text).run, "") << text;
    EXPECT_EQ(EventPosition::parse(text).revision, 0) << text;
  }
}

TEST(ChartHistoryTest, IsBoundedInTimeAndNodes) {
  ChartHistory history;
  for (int i = 0; i < 1000; ++i) {
    LiveView view;
    LiveNode one;
    one.name = "node" + std::to_string(i);  // each comes and goes
    view.nodes = {one};
    history.add(view, i);
  }
  EXPECT_EQ(history.points().size(), ChartHistory::kPoints);
  EXPECT_LE(history.names().size(), ChartHistory::kMostNodes);
  EXPECT_EQ(history.points().back().at_ms, 999);
}

}  // namespace
}  // namespace pgb::control
