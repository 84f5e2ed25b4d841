#include "proxy/session.h"

#include <gtest/gtest.h>

#include <thread>

#include "proxy/cancel_registry.h"
#include "proxy/parameter_set.h"
#include "proxy/probe_bell.h"
#include "proxy/routes.h"
#include "proxy/topology_snapshot.h"

namespace pgb::proxy {
namespace {

TEST(CancelRegistry, GivesTheTargetOnlyForTheRightKeyWhileItIsThere) {
  CancelRegistry registry;
  const auto one = registry.add({1, 77});
  const auto two = registry.add({0, 78});
  ASSERT_TRUE(one);
  ASSERT_TRUE(two);
  EXPECT_NE(one->pid, two->pid);
  ASSERT_TRUE(registry.find(one->pid, one->key));
  EXPECT_EQ(registry.find(one->pid, one->key)->session, 77u);
  EXPECT_EQ(registry.find(one->pid, one->key)->reactor, 1u);
  EXPECT_FALSE(registry.find(one->pid, two->key));
  EXPECT_FALSE(registry.find(one->pid, ""));
  registry.remove(one->pid);
  EXPECT_FALSE(registry.find(one->pid, one->key));
}

TEST(NodeGauge, AnEjectionEndsWithAProbeThatWasSentLaterAndWithNoOther) {
  NodeGauge gauge;
  EXPECT_FALSE(gauge.readmit(100)) << "nothing is to be ended";
  EXPECT_TRUE(gauge.eject(200));
  EXPECT_FALSE(gauge.eject(300)) << "it is ejected already, now for longer";
  EXPECT_FALSE(gauge.eject(250));
  EXPECT_FALSE(gauge.readmit(299));
  EXPECT_EQ(gauge.ejected_until_ns, 300);
  EXPECT_TRUE(gauge.readmit(300));
  EXPECT_EQ(gauge.ejected_until_ns, 0);
}

TEST(ProbeBell, WakesWhoSleepsAndIsHeardByWhoComesLater) {
  using Clock = ProbeBell::Clock;
  ProbeBell bell;
  std::atomic<bool> stop{false};
  const auto late = Clock::now() + std::chrono::seconds(60);
  std::thread sleeper([&] { bell.sleep(late, 5, stop); });
  bell.ring(5);  // not later than what the sleeper knows
  bell.ring(6);
  sleeper.join();
  bell.sleep(late, 5, stop);  // it has rung already
  std::thread other([&] { bell.sleep(late, 6, stop); });
  stop = true;
  bell.wake();
  other.join();
  EXPECT_LT(Clock::now(), late);
  stop = false;
  bell.sleep(Clock::now() + std::chrono::milliseconds(1), 6, stop);
  EXPECT_EQ(bell.rung_ns(), 6);
}

TEST(ParameterSets, EqualSetsAreOneObject) {
  ParameterSets sets;
  const auto one = sets.intern({{"work_mem", "64"}, {"timezone", "UTC"}});
  EXPECT_EQ(one, sets.intern({{"timezone", "UTC"}, {"work_mem", "64"}}));
  EXPECT_NE(one, sets.intern({{"timezone", "UTC"}}));
  EXPECT_EQ(sets.none(), sets.intern({}));
}

TEST(ParameterSets, TheChangeNamesWhatDiffersAndNothingElse) {
  EXPECT_EQ(sql_to_change({{"a", "1"}}, {{"a", "1"}}), "");
  EXPECT_EQ(sql_to_change({{"a", "1"}, {"x.y", "z"}}, {{"b", "it's"}}),
            "RESET \"a\";RESET \"x\".\"y\";SELECT pg_catalog.set_config('b', 'it''s', false)");
  EXPECT_EQ(sql_to_change({}, {{"role", "al\"ice"}}), "SET ROLE \"al\"\"ice\"");
  EXPECT_EQ(sql_to_change({{"a", "1"}, {"role", "x"}, {"z", "2"}}, {{"role", "x"}, {"statement_timeout", "1"}}),
            "RESET ROLE;RESET \"a\";RESET \"z\";SET ROLE \"x\";"
            "SELECT pg_catalog.set_config('statement_timeout', '1', false)")
      << "neither a role nor a time-out gets in the way of the rest";
  EXPECT_EQ(quote_literal("a\\b"), " E'a\\\\b'");
}

TEST(ParameterSets, AStartupPacketSaysThemInThreeWays) {
  const auto parameters = startup_parameters({{"user", "u"},
                                              {"database", "d"},
                                              {"Application_Name", "shop"},
                                              {"options", "-c work_mem=3MB  -cgeqo=off --search-path=a\\ b"}});
  ASSERT_TRUE(parameters);
  EXPECT_EQ(*parameters,
            (Parameters{{"application_name", "shop"}, {"geqo", "off"}, {"search_path", "a b"}, {"work_mem", "3MB"}}));
  EXPECT_FALSE(startup_parameters({{"options", "-B 100"}}));
}

TEST(ParameterSets, ReplicationIsReadAsAServerReadsIt) {
  for (const char* yes : {"true", "t", "TRUE", "on", "ON", "yes", "y", "1"}) {
    EXPECT_EQ(replication_of(yes), Replication::kPhysical) << yes;
  }
  for (const char* no : {"false", "f", "Off", "of", "no", "n", "0"}) {
    EXPECT_EQ(replication_of(no), Replication::kNone) << no;
  }
  EXPECT_EQ(replication_of("database"), Replication::kLogical);
  for (const char* wrong : {"", "o", "Database", "truex", "10", "on ", "maybe"}) {
    EXPECT_FALSE(replication_of(wrong)) << wrong;
  }
}

TEST(TopologySnapshot, ThePrimaryIsAHealthyOne) {
  TopologySnapshot snapshot;
  snapshot.nodes = {{"a", "10.0.0.1", 5432, NodeRole::kPrimary, false, "connection refused"},
                    {"b", "10.0.0.2", 5432, NodeRole::kReplica, true, ""}};
  EXPECT_EQ(snapshot.primary(), nullptr);
  EXPECT_NE(snapshot.describe().find("a (10.0.0.1:5432, primary): connection refused"), std::string::npos);
  snapshot.nodes[1].role = NodeRole::kPrimary;
  ASSERT_NE(snapshot.primary(), nullptr);
  EXPECT_EQ(snapshot.primary()->name, "b");
}

TEST(TopologySnapshot, ADrainedPrimaryIsThereButGetsNoWork) {
  TopologySnapshot snapshot;
  snapshot.nodes = {{"a", "10.0.0.1", 5432, NodeRole::kPrimary, true, ""}};
  EXPECT_NE(snapshot.primary_for_work(), nullptr);
  snapshot.nodes[0].gauge->drained = true;
  EXPECT_EQ(snapshot.primary_for_work(), nullptr);
  EXPECT_NE(snapshot.primary(), nullptr);
  EXPECT_NE(snapshot.describe().find("drained"), std::string::npos);
}

TEST(Routes, ReasonsHaveNumbersAndThereIsAnEndToThem) {
  Reasons reasons;
  const ReasonId one = reasons.id_of("it writes");
  EXPECT_EQ(reasons.id_of("it writes"), one);
  EXPECT_EQ(reasons.text(one), "it writes");
  for (size_t i = 0; i < 2 * kMaxReasons; ++i) EXPECT_LT(reasons.id_of(std::to_string(i)), kMaxReasons);
  EXPECT_EQ(reasons.text(reasons.id_of("one too many")), "other reasons");
  EXPECT_EQ(reasons.id_of("it writes"), one);
}

TEST(Routes, ANodeIsCountedByItsNameWhateverTheTopology) {
  RouteCounts counts;
  NodeView node{"a", "10.0.0.1", 5432, NodeRole::kReplica, true, ""};
  counts.count(node, 3, Meaning::kReads);
  node.gauge = std::make_shared<NodeGauge>();  // its address has changed
  counts.count(node, 3, Meaning::kReads);
  counts.count(node, 3, Meaning::kChangesSession);
  counts.count({"b", "10.0.0.2", 5432, NodeRole::kReplica, true, ""}, 3, Meaning::kNotLookedInto);
  std::map<std::string, uint64_t> seen;
  counts.each([&](const std::string& name, ReasonId reason, Meaning meaning, uint64_t requests) {
    EXPECT_EQ(reason, 3);
    seen[name + " " + to_string(meaning)] = requests;
  });
  EXPECT_EQ(seen,
            (std::map<std::string, uint64_t>{{"a reads", 2}, {"a changes the session", 1}, {"b not looked into", 1}}));
}

TEST(SessionStates, NothingReachesAServerBeforeTheLogin) {
  using State = Session::State;
  for (int i = 0; i <= static_cast<int>(State::kClosed); ++i) {
    const auto from = static_cast<State>(i);
    EXPECT_EQ(Session::may_follow(from, State::kReady), from == State::kGreeting) << Session::name(from);
    EXPECT_EQ(Session::may_follow(from, State::kGreeting), from == State::kAuthenticating) << Session::name(from);
    EXPECT_EQ(Session::may_follow(from, State::kClosed), from != State::kClosed) << Session::name(from);
  }
}

}  // namespace
}  // namespace pgb::proxy
