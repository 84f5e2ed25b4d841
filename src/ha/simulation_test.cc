// `ha_test` runs some thousand schedules, `make simulate` any number: ha_simulate [--schedules N] [--seed S]
// [--mutation NAME].
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
constexpr uint64_t kSchedules = kSlow ? 100 : 2000;  // 800 are enough for each row

std::string failures(const Outcome& outcome) {
  std::string text = outcome.setup;
  for (const auto& violation : outcome.violations) text += "\n  " + violation.text;
  return text;
}

using Rows = std::set<std::pair<State, Event>>;

// Rows for what the simulated world cannot bring about.
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
  Rows rows;
  for (const auto& view : views) {
    Decision decision = decide(view, kNow);
    const Row* row = find_row(decision.state, decision.event);
    EXPECT_TRUE(row != nullptr && row->action == decision.action) << decision.sentence;
    rows.emplace(decision.state, decision.event);
  }
  return rows;
}

TEST(Simulation, LosesNothingAlwaysComesBackAndMeetsEachRow) {
  size_t acknowledged = 0;
  size_t forced = 0;
  Rows rows = rows_of_views();
  for (uint64_t seed = 1; seed <= kSchedules; ++seed) {
    Outcome outcome = World({seed, Mutation::kNone, false}).run();
    ASSERT_TRUE(outcome.violations.empty()) << failures(outcome) << "\nreplay: ha_simulate --seed " << seed;
    acknowledged += outcome.acknowledged;
    forced += outcome.lossy;
    rows.merge(outcome.rows);
  }
  EXPECT_GT(acknowledged, kSchedules * 100);
  EXPECT_GE(forced, kSchedules / 100);
  for (const Row& row : transitions()) {
    if (kSlow) break;
    EXPECT_TRUE(rows.contains({row.from, row.event})) << to_string(row.from) << ", " << row.text << ": never met";
  }
}

struct Broken {
  Mutation mutation;
  Harm harm;        // that it has to do
  uint64_t within;  // so many schedules
};

class BrokenRule : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenRule, DoesItsHarm) {
  const Broken& broken = GetParam();
  for (uint64_t seed = 1; seed <= broken.within; ++seed) {
    Outcome outcome = World({seed, broken.mutation, false}).run();
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
                                           Broken{Mutation::kRecordTooEarly, Harm::kLost, 500},
                                           Broken{Mutation::kNeverRewind, Harm::kDiverged, 100}),
                         [](const auto& broken) {
                           std::string name = to_string(broken.param.mutation);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace pgb::ha::testing
