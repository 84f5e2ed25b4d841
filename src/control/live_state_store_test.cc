// What LiveState makes of the lease store: roles, the history, and that it may not answer.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <tuple>

#include "control/live_state_for_tests.h"
#include "control/silent_stores.h"
#include "dcs/local_store.h"

namespace pgb::control {
namespace {

TEST_F(LiveStateTest, TheClusterThatNoSettingNamesIsTheOneOfTheStore) {
  const std::shared_ptr<dcs::Dcs> store = dcs::LocalStore::in_memory();
  ASSERT_TRUE(store->put("/pgbalancer/market/lb1/leader", R"({"holder":"a","epoch":2})", 0,
                         Deadline::after(milliseconds(5000))));
  GroupRoles roles("lb1");
  start(&roles, "");
  EXPECT_EQ(snapshot()["cluster"], nullptr);
  roles.use(store);
  wait_for([](const Json& s) { return s["cluster"] == "market"; });
  roles.use(nullptr);
  const Json lost = wait_for([](const Json& s) { return s["ha"] == nullptr; });
  EXPECT_EQ(lost["cluster"], "market") << "the name stays";
  live_.reset();
}

// However little it lacks: its agent knows that nothing comes in.
TEST_F(LiveStateTest, AReplicaThatDoesNotStreamIsNotWhole) {
  const std::shared_ptr<dcs::Dcs> store = dcs::LocalStore::in_memory();
  const auto put = [&](const std::string& key, const std::string& value) {
    ASSERT_TRUE(store->put("/pgbalancer/shop/lb1/" + key, value, 0, Deadline::after(milliseconds(5000))));
  };
  const auto publish = [&](bool streaming) {
    put("members/b", Json{{"name", "b"}, {"state", "following"}, {"follows", "a"}, {"streaming", streaming}}.dump());
  };
  put("leader", R"({"holder":"a","epoch":2})");
  publish(false);
  GroupRoles roles("lb1");
  roles.use(store);
  start(&roles);
  Json now = wait_for([](const Json& s) { return s["state"] == "degraded"; });
  EXPECT_EQ(now["links"][0]["state"], "broken");
  EXPECT_EQ(now["nodes"][1]["state"], "degraded");
  EXPECT_NE(now["sentence"].get<std::string>().find("b is degraded: it gets no log from a"), std::string::npos) << now;
  publish(true);
  now = wait_for([](const Json& s) { return s["state"] == "healthy"; });
  EXPECT_EQ(now["links"][0]["state"], "streaming");
  EXPECT_EQ(now["sentence"], "");
  put("paused", R"({"since":"t1","by":"alice"})");
  now = wait_for([](const Json& s) { return s["state"] == "degraded"; });
  EXPECT_EQ(now["sentence"], "Failover is paused: no server takes over by itself until somebody resumes it.");
  live_.reset();
  roles.use(nullptr);
}

// A primary that answers is not one that acknowledges commits.
TEST_F(LiveStateTest, ThatCommitsHangIsToldUntilTheirLeaderSaysOtherwise) {
  const std::shared_ptr<dcs::Dcs> store = dcs::LocalStore::in_memory();
  const auto put = [&](const std::string& key, const std::string& value) {
    ASSERT_TRUE(store->put("/pgbalancer/shop/lb1/" + key, value, 0, Deadline::after(milliseconds(5000))));
  };
  const auto publish = [&](const std::string& name, const std::string& waits) {
    put("members/" + name, Json{{"name", name}, {"state", "leading"}, {"commits_wait", waits}}.dump());
  };
  put("leader", R"({"holder":"a","epoch":2})");
  publish("a", "");
  publish("b", "commits wait for what it said when it led");
  GroupRoles roles("lb1");
  roles.use(store);
  start(&roles);
  wait_for([](const Json& s) { return s["ha"] != nullptr && s["ha"]["leader"] == "a" && s["state"] == "healthy"; });
  publish("a", "commits wait for any 1 of b, of whom 0 stream");
  Json now = wait_for([](const Json& s) { return s["state"] == "degraded"; });
  EXPECT_EQ(now["sentence"],
            "Writes hang: commits wait for any 1 of b, of whom 0 stream; reads go to the servers that are up.");
  group_.set({node("a", kPrimary), node("b", kReplica, false, "connection refused")});
  now = wait_for([](const Json& s) { return s["nodes"][1]["state"] == "down"; });
  EXPECT_EQ(now["sentence"].get<std::string>().rfind("Writes hang: ", 0), 0u) << now["sentence"];
  publish("a", "");
  now = wait_for([](const Json& s) { return s["sentence"].get<std::string>().rfind("Writes go on; ", 0) == 0; });
  EXPECT_EQ(now["state"], "degraded");
  live_.reset();
  roles.use(nullptr);
}

// What it said last stays in the store, and is no news of it.
TEST_F(LiveStateTest, AnAgentThatSpeaksNoMoreIsSilent) {
  const std::shared_ptr<dcs::Dcs> store = dcs::LocalStore::in_memory();
  const auto put = [&](const std::string& key, const std::string& value) {
    ASSERT_TRUE(store->put("/pgbalancer/shop/lb1/" + key, value, 0, Deadline::after(milliseconds(5000))));
  };
  put("leader", R"({"holder":"a","epoch":2})");
  put("members/b", R"({"name":"b","state":"leading","sentence":"it leads","follows":"a","streaming":true})");
  GroupRoles roles("lb1");
  roles.use(store);
  start(&roles);
  const auto speak = [&] { put("members/a", R"({"name":"a","state":"leading","sentence":"it leads"})"); };
  const auto began = std::chrono::steady_clock::now();
  Json now;
  for (;;) {
    speak();
    now = snapshot();
    const bool silent = now["nodes"][1]["agent"].is_object() && now["nodes"][1]["agent"]["state"] == "silent";
    if (silent || std::chrono::steady_clock::now() - began > std::chrono::seconds(20)) break;
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_GT(std::chrono::steady_clock::now() - began, std::chrono::seconds(4));
  EXPECT_EQ(now["nodes"][1]["agent"]["state"], "silent");
  EXPECT_GE(now["nodes"][1]["agent"]["age_s"], 5);
  const std::string said = now["nodes"][1]["agent"]["sentence"];
  EXPECT_EQ(said.find("nothing for "), 0u) << said;
  EXPECT_NE(said.find(" s; before that it was leading: it leads"), std::string::npos) << said;
  EXPECT_EQ(now["nodes"][0]["agent"]["state"], "leading");
  EXPECT_LT(now["nodes"][0]["agent"]["age_s"], 1);
  EXPECT_EQ(now["links"][0]["source"], "positions") << "it says nothing of what it gets, either";
  EXPECT_EQ(now["state"], "degraded");
  EXPECT_EQ(now["nodes"][1]["state"], "degraded");
  EXPECT_NE(now["sentence"].get<std::string>().find("its agent has said nothing for "), std::string::npos) << now;
  group_.set({node("a", kPrimary), node("b", kReplica, false, "connection refused")});
  now = wait_for([](const Json& s) { return s["nodes"][1]["state"] == "down"; });
  EXPECT_NE(now["nodes"][1]["reason"].get<std::string>().find("connection refused; its agent has said nothing for"),
            std::string::npos)
      << now;
  live_.reset();
  roles.use(nullptr);
}

// Why a copy fails its agent alone knows.
TEST_F(LiveStateTest, WhatTheAgentDoesAboutAServerThatIsDownIsItsReason) {
  const std::shared_ptr<dcs::Dcs> store = dcs::LocalStore::in_memory();
  const std::string said = "b gets a full copy of a; the last one failed: no space left";
  ASSERT_TRUE(store->put("/pgbalancer/shop/lb1/members/b",
                         Json{{"name", "b"}, {"state", "absent"}, {"sentence", said}}.dump(), 0,
                         Deadline::after(milliseconds(5000))));
  group_.set({node("a", kPrimary), node("b", kReplica, false, "connection refused")});
  GroupRoles roles("lb1", "shop");
  roles.use(store);
  start(&roles);
  const Json now = wait_for([](const Json& s) { return s["nodes"][1]["agent"].is_object(); });
  EXPECT_EQ(now["nodes"][1]["reason"], "connection refused; its agent: " + said);
  EXPECT_NE(now["sentence"].get<std::string>().find(said), std::string::npos) << now["sentence"];
  live_.reset();
  roles.use(nullptr);
}

TEST_F(LiveStateTest, KnowsWithWhomEachTimelineBegan) {
  const std::shared_ptr<dcs::LocalStore> store = dcs::LocalStore::in_memory();
  const auto put = [&](const std::string& key, const std::string& value) {
    ASSERT_TRUE(store->put("/pgbalancer/shop/lb1/" + key, value, 0, Deadline::after(std::chrono::seconds(5))));
  };
  put("leader", R"({"holder":"b","epoch":2})");
  put("history/0000000001-1-a", R"({"time":"t1","node":"a","action":"acquire","text":"x","timeline":2})");
  put("history/0000000001-2-a", R"({"time":"t2","node":"a","action":"record","text":"y"})");
  put("history/0000000002-3-b", R"({"time":"t3","node":"b","action":"acquire","text":"z","timeline":3})");
  GroupRoles roles("lb1");
  roles.use(store);
  start(&roles);
  wait_for([](const Json& s) { return s["events"].dump().find("\"z\"") != std::string::npos; });
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (live_->promotions().empty() && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  const auto known = live_->promotions();
  ASSERT_EQ(known.size(), 2u);
  EXPECT_EQ((std::tuple{known[0].timeline, known[0].node, known[0].time}), (std::tuple{2u, "a", "t1"}));
  EXPECT_EQ((std::tuple{known[1].timeline, known[1].node, known[1].time}), (std::tuple{3u, "b", "t3"}));
  live_.reset();
  roles.use(nullptr);
}

// Numbers of another process mean nothing here; the lease store's history is one for all of them.
TEST_F(LiveStateTest, WhoComesFromAnotherProcessMissesNothingAndHearsNothingTwice) {
  const std::shared_ptr<dcs::LocalStore> store = dcs::LocalStore::in_memory();
  const auto put = [&](const std::string& key, const std::string& value) {
    return store->put("/pgbalancer/shop/lb1/" + key, value, 0, Deadline::after(std::chrono::seconds(5))).value();
  };
  put("leader", R"({"holder":"a","epoch":2})");
  const auto first = put("history/0000000001-1-a", R"({"time":"t1","node":"a","action":"acquire","text":"first"})");
  put("history/0000000002-2-a", R"({"time":"t2","node":"a","action":"acquire","text":"second"})");
  GroupRoles roles("lb1");
  roles.use(store);
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

// Of a state's piece, which comes last.
EventPosition last_id(const std::string& heard) {
  const size_t at = heard.rfind("id: ") + 4;
  return EventPosition::parse(heard.substr(at, heard.find('\n', at) - at));
}

// The same reader, once he has been here: his position is one of this process from then on.
TEST_F(LiveStateTest, WhoHeardAllElsewhereHearsItNotWhenHeComesBackEither) {
  const std::shared_ptr<dcs::LocalStore> store = dcs::LocalStore::in_memory();
  const auto put = [&](const std::string& key, const std::string& value) {
    return store->put("/pgbalancer/shop/lb1/" + key, value, 0, Deadline::after(std::chrono::seconds(5))).value();
  };
  put("leader", R"({"holder":"a","epoch":2})");
  const auto told = put("history/0000000001-1-a", R"({"time":"t1","node":"a","action":"acquire","text":"first"})");
  GroupRoles roles("lb1");
  roles.use(store);
  start(&roles);
  wait_for([](const Json& s) { return tells(s, "first"); });
  const std::string heard = live_->open(EventPosition{"another", 1000, told})->next(milliseconds(5000));
  EXPECT_EQ(heard.find("event: event"), std::string::npos) << heard;
  const std::string again = live_->open(last_id(heard))->next(milliseconds(5000));
  EXPECT_EQ(again.find("event: event"), std::string::npos) << "told again: " << again;
  live_.reset();
  roles.use(nullptr);
}

TEST_F(LiveStateTest, AStoreThatDoesNotAnswerMakesNothingElseOld) {
  GroupRoles roles("lb1", "shop");
  roles.use(std::make_shared<SilentStore>());
  start(&roles);
  for (int i = 0; i < 10; ++i) {
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_LT(snapshot()["age_s"], 0.5);
  }
  EXPECT_EQ(snapshot()["ha"], nullptr);
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!live_->role_numbers().store_up && std::chrono::steady_clock::now() < limit) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_EQ(live_->role_numbers().store_up, false);
  live_.reset();
  roles.use(nullptr);
}

TEST_F(LiveStateTest, RolesThatGetOldAreNotToldAnyMore) {
  const std::shared_ptr<dcs::LocalStore> store = dcs::LocalStore::in_memory();
  ASSERT_TRUE(store->put("/pgbalancer/shop/lb1/leader", R"({"holder":"a","epoch":2})", 0,
                         Deadline::after(std::chrono::seconds(5))));
  const auto slow = std::make_shared<SlowStore>(*store);
  GroupRoles roles("lb1", "shop");
  roles.use(slow);
  start(&roles);
  wait_for([](const Json& s) { return s["ha"] != nullptr; });
  EXPECT_TRUE(live_->role_numbers().roles);
  EXPECT_EQ(live_->role_numbers().store_up, true);
  slow->hold(true);
  const Json now = wait_for([](const Json& s) { return s["ha"] == nullptr; });
  EXPECT_LT(now["age_s"], 3) << "all else is of now";
  EXPECT_FALSE(live_->role_numbers().roles);
  EXPECT_EQ(live_->role_numbers().store_up, false);
  slow->hold(false);
  wait_for([&](const Json& s) { return s["ha"] != nullptr && live_->role_numbers().store_up == true; });
  EXPECT_GT(slow->history_ms(), 0);
  EXPECT_LE(slow->history_ms(), 2000) << "nobody asks for the roles meanwhile";
  live_.reset();
  roles.use(nullptr);
}

TEST_F(LiveStateTest, AStoreToWhichNobodyHasComeIsUp) {
  const std::shared_ptr<dcs::LocalStore> store = dcs::LocalStore::in_memory();
  GroupRoles roles("lb1");
  roles.use(store);
  start(&roles);
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!live_->role_numbers().store_up && std::chrono::steady_clock::now() < limit) {
    std::this_thread::sleep_for(milliseconds(2));
  }
  EXPECT_EQ(live_->role_numbers().store_up, true);
  EXPECT_FALSE(live_->role_numbers().roles);
  live_.reset();
  roles.use(nullptr);
}

}  // namespace
}  // namespace pgb::control
