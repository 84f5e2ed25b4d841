// `ha_test` runs some thousand schedules, `make simulate` any number: ha_simulate [--schedules N] [--seed S]
// [--mutation NAME].
#include <gtest/gtest.h>

#include "ha/testing/world.h"

namespace pgb::ha::testing {
namespace {

constexpr uint64_t kSchedules = 2000;
constexpr uint64_t kUntilFound = 1000;  // schedules within which a broken rule has to show

std::string failures(const Outcome& outcome) {
  std::string text = outcome.setup;
  for (const auto& violation : outcome.violations) text += "\n  " + violation;
  return text;
}

TEST(Simulation, LosesNothingAndAlwaysComesBack) {
  size_t acknowledged = 0;
  for (uint64_t seed = 1; seed <= kSchedules; ++seed) {
    Outcome outcome = World({seed, Mutation::kNone, false}).run();
    ASSERT_TRUE(outcome.violations.empty()) << failures(outcome) << "\nreplay: ha_simulate --seed " << seed;
    acknowledged += outcome.acknowledged;
  }
  EXPECT_GT(acknowledged, kSchedules * 100);
}

class BrokenRule : public ::testing::TestWithParam<Mutation> {};

TEST_P(BrokenRule, IsFound) {
  Mutation mutation = GetParam();
  for (uint64_t seed = 1; seed <= kUntilFound; ++seed) {
    if (World({seed, mutation, false}).run().violations.empty()) continue;
    RecordProperty("schedules", static_cast<int>(seed));
    return;
  }
  FAIL() << to_string(mutation) << " was not noticed in " << kUntilFound << " schedules";
}

// kOpenAtOnce and kRecordTooEarly are not here: the window in which they lose is too short to be met so soon.
INSTANTIATE_TEST_SUITE_P(All, BrokenRule,
                         ::testing::Values(Mutation::kNoQuorumCheck, Mutation::kRelaxBeforeRecord,
                                           Mutation::kIgnoreFence, Mutation::kPromiseWithoutDetach,
                                           Mutation::kReuseTimeline, Mutation::kNeverRewind));

}  // namespace
}  // namespace pgb::ha::testing
