// `ha_test` runs some thousand schedules, `make simulate` any number: ha_simulate [--schedules N] [--seed S]
// [--rare yes] [--mutation NAME].
#include <gtest/gtest.h>

#include <algorithm>

#include "ha/testing/views.h"
#include "ha/testing/world.h"

namespace pgb::ha::testing {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSlow = true;
#else
constexpr bool kSlow = false;
#endif
constexpr uint64_t kSchedules = kSlow ? 100 : 4000;
constexpr uint64_t kRareSchedules = kSlow ? 50 : 500;  // with those 4000 enough for each row

std::string failures(const Outcome& outcome) {
  std::string text = outcome.setup;
  for (const auto& violation : outcome.violations) text += "\n  " + violation.text;
  return text;
}

using Rows = std::set<std::pair<State, Event>>;

// Rows for what the simulated world cannot bring about, or only in tens of thousands of schedules.
Rows rows_of_views() {
  std::vector<ClusterView> views;
  // Somebody put the data of another group there.
  NodeView foreign = standby("b", 100);
  foreign.system_id = "8000";
  for (Server server : {Server::kBuilding, Server::kStopped, Server::kStandby}) {
    foreign.server = server;
    foreign.trouble = Trouble::kDiverged;
    views.push_back(group(foreign, {primary("a", 100)}));
    views.push_back(views.back());
    views.back().self.following.reset();
  }
  // The store was restored from an older copy: there was a leader after this one.
  views.push_back(leading());
  views.back().peers["b"] = primary("b", 100);
  views.back().peers["b"].epoch = 2;
  views.push_back(views.back());
  views.back().store.sync->leader = "c";
  views.push_back(leading());
  views.back().self.server = Server::kStopped;
  views.back().store.epoch = {2, "b", 2, 9};
  // Opened in async, before durability was raised.
  views.push_back(leading());
  views.back().store.sync->leader = "c";
  // Taken for gone before it had opened, which takes a moment only.
  views.push_back(leading());
  views.back().store.sync->leader = "c";
  views.back().self.sync.closed = true;
  views.back().peers["b"].promised = 2;
  // Elected, and the store fell silent before the promotion could begin.
  views.push_back(electing());
  views.back().store.leader = LeaderKey{"b", 2, 12, 9};
  views.back().self.lease = 12;
  views.back().self.renewed = kNow;
  views.back().store.reachable = false;
  Rows rows;
  for (const auto& view : views) {
    Decision decision = decide(view, kNow);
    const Row* row = find_row(decision.state, decision.event);
    EXPECT_TRUE(row != nullptr && row->action == decision.action) << decision.sentence;
    rows.emplace(decision.state, decision.event);
  }
  return rows;
}

// Runs schedules that must all be well.
struct Tally {
  size_t acknowledged = 0;
  size_t forced = 0;
  Rows rows;

  void run(const Options& options) {
    Outcome outcome = World(options).run();
    EXPECT_TRUE(outcome.violations.empty())
        << failures(outcome) << "\nreplay: ha_simulate --seed " << options.seed << (options.rare ? " --rare yes" : "");
    acknowledged += outcome.acknowledged;
    forced += outcome.lossy;
    rows.merge(outcome.rows);
  }
};

TEST(Simulation, LosesNothingAlwaysComesBackAndMeetsEachRow) {
  Tally tally;
  tally.rows = rows_of_views();
  for (uint64_t seed = 1; seed <= kSchedules && !HasFailure(); ++seed) tally.run({seed});
  EXPECT_GT(tally.acknowledged, kSchedules * 100);
  EXPECT_GE(tally.forced, kSchedules / 100);
  for (uint64_t seed = 1; seed <= kRareSchedules && !HasFailure(); ++seed) tally.run({.seed = seed, .rare = true});
  EXPECT_GT(tally.acknowledged, (kSchedules + kRareSchedules) * 100);
  for (const Row& row : transitions()) {
    if (kSlow) break;
    EXPECT_TRUE(tally.rows.contains({row.from, row.event})) << to_string(row.from) << ", " << row.text << ": never met";
  }
}

// Schedules that failed once.
struct Regression {
  const char* what;
  std::vector<uint64_t> seeds;
};

class Once : public ::testing::TestWithParam<Regression> {};

TEST_P(Once, IsMended) {
  Tally tally;
  for (uint64_t seed : GetParam().seeds) tally.run({seed});
  EXPECT_GT(tally.acknowledged, GetParam().seeds.size());
}

INSTANTIATE_TEST_SUITE_P(
    All, Once,
    ::testing::Values(Regression{"a_record_and_a_setting_overlapped_and_commits_were_lost",
                                 {65390, 66926, 79505, 7905, 46808}},
                      Regression{"a_standby_took_wal_for_that_of_a_timeline_before", {12047, 31623, 77713}},
                      Regression{"a_restart_in_place_came_up_under_no_epoch", {80615}},
                      Regression{"a_promotion_failed_that_was_forced_on_who_had_led_long_before", {28885}},
                      Regression{"a_forced_leader_was_gone_before_it_had_recorded",
                                 {3248, 36071, 37552, 51939, 54387, 60238, 77097, 82763}},
                      Regression{"an_elected_leader_was_gone_before_it_had_recorded_and_a_member_had_lost_its_disk",
                                 {9808,  9950,  18319, 18439, 22455, 36927, 38974, 39405, 41032, 42538,
                                  45854, 47223, 58226, 62173, 66916, 67189, 69227, 73146, 86267, 90748}}),
    [](const auto& once) { return std::string(once.param.what); });

// The same for schedules in which the store, too, is lost.
TEST(Simulation, ARareScheduleThatFailedOnceIsMended) {
  Tally tally;
  for (uint64_t seed : {645, 1224, 1324, 1390, 1985, 5541, 22749, 89348}) tally.run({.seed = seed, .rare = true});
  EXPECT_GT(tally.acknowledged, 0U);
}

struct Broken {
  Mutation mutation;
  Harm harm;        // that it has to do
  uint64_t within;  // so many schedules
  uint64_t first = 1;
  bool rare = false;
};

class BrokenRule : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenRule, DoesItsHarm) {
  const Broken& broken = GetParam();
  for (uint64_t seed = broken.first; seed < broken.first + broken.within; ++seed) {
    Outcome outcome = World({.seed = seed, .mutation = broken.mutation, .rare = broken.rare}).run();
    for (const auto& violation : outcome.violations) {
      if (violation.harm == broken.harm) return;
    }
  }
  FAIL() << to_string(broken.mutation) << " did not do its harm in " << broken.within << " schedules";
}

INSTANTIATE_TEST_SUITE_P(All, BrokenRule,
                         ::testing::Values(Broken{Mutation::kNoQuorumCheck, Harm::kLost, 300},
                                           Broken{Mutation::kRelaxBeforeRecord, Harm::kLost, 500},
                                           Broken{Mutation::kIgnoreFence, Harm::kTwoPrimaries, 100},
                                           Broken{Mutation::kPromiseWithoutDetach, Harm::kLost, 1000},
                                           Broken{Mutation::kOpenAtOnce, Harm::kLost, 100},
                                           Broken{Mutation::kReuseTimeline, Harm::kDiverged, 200},
                                           Broken{Mutation::kRecordTooEarly, Harm::kLost, 3000},
                                           Broken{Mutation::kNeverRewind, Harm::kDiverged, 100}),
                         [](const auto& broken) {
                           std::string name = to_string(broken.param.mutation);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace pgb::ha::testing
