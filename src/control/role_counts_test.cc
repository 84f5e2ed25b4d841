#include "control/role_counts.h"

#include <gtest/gtest.h>

namespace pgb::control {
namespace {

dcs::HistoryLine line(const char* action, uint64_t epoch, const char* request = "") {
  dcs::HistoryLine line;
  line.action = action;
  line.epoch = epoch;
  line.request = request;
  return line;
}

TEST(RoleCounts, AnElectionIsWhatWentBeforeIt) {
  RoleCounts counts;
  counts.count({line("acquire", 1), line("record", 1), line("release", 1, "switchover"), line("acquire", 2)});
  EXPECT_EQ(counts.elections, 2u);
  EXPECT_EQ(counts.firsts, 1u);
  EXPECT_EQ(counts.switchovers, 1u);
  EXPECT_EQ(counts.failovers, 0u);
  counts.count({line("acquire", 3), line("release", 3), line("acquire", 4), line("forced", 5)});
  EXPECT_EQ(counts.failovers, 3u) << "lost, given up by itself, forced";
  EXPECT_EQ(counts.switchovers, 1u);
  EXPECT_EQ(counts.forced, 1u);
  EXPECT_EQ(counts.elections, counts.firsts + counts.switchovers + counts.failovers);
}

TEST(RoleCounts, ASwitchoverMayBeReadInTwoPieces) {
  RoleCounts counts;
  counts.count({line("release", 7, "switchover")});
  EXPECT_EQ(counts.elections, 0u);
  counts.count({line("acquire", 8), line("request", 8)});
  EXPECT_EQ(counts.switchovers, 1u);
  counts.count({line("acquire", 9)});
  EXPECT_EQ(counts.failovers, 1u) << "the switchover is over";
}

}  // namespace
}  // namespace pgb::control
