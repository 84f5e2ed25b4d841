#include "cluster/lineage.h"

#include <gtest/gtest.h>

namespace pgb::cluster {
namespace {

const char kHistory[] =
    "1\t0/3000000\tno recovery target specified\n\n2\t0/5000060\tno recovery target specified\n# a remark\n";

TEST(Lineage, WhatWasWrittenBeforeAForkIsThere) {
  const Lineage lineage = parse_lineage(4, kHistory);
  EXPECT_TRUE(lineage.has(4, 0x9000000));
  EXPECT_TRUE(lineage.has(2, 0x5000000));
  EXPECT_TRUE(lineage.has(1, 0x2FFFF00));
}

TEST(Lineage, WhatWasWrittenAfterItOrOnAnotherTimelineIsLost) {
  const Lineage lineage = parse_lineage(4, kHistory);
  EXPECT_FALSE(lineage.has(2, 0x5000060)) << "its commit would begin where the timeline was left";
  EXPECT_FALSE(lineage.has(1, 0x4000000));
  EXPECT_FALSE(lineage.has(3, 0x100));
  EXPECT_FALSE(parse_lineage(2, "").has(1, 0x100));
}

}  // namespace
}  // namespace pgb::cluster
