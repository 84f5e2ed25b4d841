#include "control/live_state.h"

#include <gtest/gtest.h>

#include <thread>

#include "control/live_state_for_tests.h"

namespace pgb::control {
namespace {

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
  EXPECT_NE(now["sentence"].get<std::string>().find("Reads go on at replicas"), std::string::npos) << now["sentence"];
  group_.set({node("a", kPrimary, false, "refused"), node("b", kReplica, false, "refused, too")});
  now = wait_for([](const Json& s) { return s["nodes"][1]["state"] == "down"; });
  EXPECT_EQ(now["sentence"].get<std::string>().rfind("No server can be written to. No replica can be read from", 0), 0u)
      << now["sentence"];
  group_.set({node("a", kPrimary, false, "connection refused"), node("b", kReplica)});
  now = wait_for([](const Json& s) { return s["nodes"][1]["state"] == "up"; });
  EXPECT_EQ(now["links"][0]["state"], "unknown");
  EXPECT_TRUE(tells(now, "a is down: connection refused"));
  EXPECT_TRUE(tells(now, "there is no primary"));
  group_.set({node("a", kPrimary, false, "connection refused"), node("b", kPrimary)});
  now = wait_for([](const Json& s) { return s["state"] == "degraded"; });
  EXPECT_TRUE(tells(now, "b is the primary; there was none for about"));
  EXPECT_EQ(now["nodes"][0]["role"], "unknown") << "there is one primary";
  EXPECT_EQ(now["nodes"][0]["last_role"], "primary");
  EXPECT_EQ(now["nodes"][1]["role"], "primary");
  const LiveState::RoleNumbers roles = live_->role_numbers();
  EXPECT_EQ(roles.counts.primary_losses, 1u);
  EXPECT_EQ(roles.counts.primary_changes, 1u);
  EXPECT_GT(roles.counts.without_primary_s, 0);
  EXPECT_FALSE(roles.roles) << "no store is kept here";
  EXPECT_FALSE(roles.store_up.has_value());
  EXPECT_EQ(live_->role_numbers().counts.without_primary_s, roles.counts.without_primary_s) << "it has ended";
}

// Nobody calls that healthy: reads do not go there, and what it lacks grows.
TEST_F(LiveStateTest, AReplicaThatIsTooFarBehindIsNotWhole) {
  proxy::NodeView replica = node("b", kReplica);
  replica.gauge->behind_bytes = 24'000;
  replica.gauge->caught_up_ns =
      std::chrono::nanoseconds((std::chrono::steady_clock::now() - std::chrono::seconds(660)).time_since_epoch())
          .count();
  group_.set({node("a", kPrimary), replica});
  start();
  Json now = wait_for([](const Json& s) { return s["state"] == "degraded"; });
  EXPECT_EQ(now["nodes"][1]["state"], "degraded");
  const std::string reason = now["nodes"][1]["reason"];
  EXPECT_NE(reason.find("s behind, more than max_replica_lag (10 s), and gets no reads"), std::string::npos) << reason;
  EXPECT_NE(now["sentence"].get<std::string>().find("b is degraded: " + reason), std::string::npos) << now["sentence"];
  EXPECT_NE(live_->text().find("max_replica_lag"), std::string::npos) << live_->text();
  replica.gauge->caught_up_ns = 0;
  now = wait_for([](const Json& s) { return s["nodes"][1]["lag_s"] == nullptr; });
  EXPECT_NE(now["nodes"][1]["reason"].get<std::string>().find("has yet to catch up"), std::string::npos) << now;
  replica.gauge->behind_bytes = 0;
  now = wait_for([](const Json& s) { return s["state"] == "healthy"; });
  EXPECT_EQ(now["nodes"][1]["state"], "up");
  EXPECT_EQ(now["nodes"][1]["reason"], "");
}

TEST_F(LiveStateTest, TheTimeWithoutAPrimaryCountsFromTheStart) {
  group_.set({node("a", kPrimary, false, "connection refused"), node("b", kReplica)});
  start();
  std::this_thread::sleep_for(milliseconds(30));
  EXPECT_GE(live_->role_numbers().counts.without_primary_s, 0.03);
  EXPECT_EQ(live_->role_numbers().counts.primary_losses, 0u) << "nobody has seen that there was one";
  group_.set({node("a", kPrimary), node("b", kReplica)});
  const Json now = wait_for([](const Json& s) { return s["state"] == "healthy"; });
  EXPECT_TRUE(tells(now, "a is the primary; there was none for about"));
  const double without = live_->role_numbers().counts.without_primary_s;
  EXPECT_GE(without, 0.03);
  EXPECT_EQ(live_->role_numbers().counts.without_primary_s, without) << "it has ended";
  EXPECT_EQ(live_->role_numbers().counts.primary_changes, 0u);
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

// Who has what was acknowledged is told by the record, which a new leader has yet to write.
TEST(DurabilitySentence, IsThatOfTheRecord) {
  GroupRoles::Now roles;
  roles.durability = "quorum";
  roles.leader = roles.sync_leader = "a";
  roles.sync_members = {"b", "c"};
  roles.sync_required = 1;
  EXPECT_EQ(durability_sentence(roles), "Each commit is on a and on 1 of b, c before it is acknowledged.");
  roles.leader = "b";
  EXPECT_EQ(durability_sentence(roles),
            "Each commit was on a and on 1 of b, c before it was acknowledged; b, which leads now, has yet to record "
            "who has its own.");
  roles.leader = "";
  EXPECT_EQ(durability_sentence(roles), "Each commit is on a and on 1 of b, c before it is acknowledged.");
}

TEST(MemberAges, CountWhatWasSeenAndNothingElse) {
  MemberAges ages;
  MemberAges::Time now{};
  const auto later = [&](double s) {
    return now += std::chrono::duration_cast<MemberAges::Time::duration>(std::chrono::duration<double>(s));
  };
  EXPECT_EQ(ages.take({{"a", 1}, {"b", 2}}, later(100))["a"], 0) << "nobody looked before";
  EXPECT_EQ(ages.take({{"a", 1}, {"b", 3}}, later(1))["a"], 1);
  auto told = ages.take({{"a", 1}, {"b", 3}}, later(1.5));
  EXPECT_EQ(told["a"], 2.5);
  EXPECT_EQ(told["b"], 1.5);
  EXPECT_EQ(ages.take({{"a", 1}, {"b", 4}}, later(30))["a"], 2.5) << "the store did not answer";
  EXPECT_EQ(ages.take({{"a", 9}}, later(1))["a"], 0);
  EXPECT_EQ(ages.take({{"a", 9}, {"b", 4}}, later(1))["b"], 0) << "it was gone";
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
