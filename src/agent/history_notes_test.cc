#include "agent/history_notes.h"

#include <gtest/gtest.h>

namespace pgb::agent {
namespace {

TEST(HistoryNotes, WhatIsTriedOverAndOverIsToldOnce) {
  HistoryNotes notes;
  for (int i = 0; i < 100; ++i) {
    notes.add("full copy", "b gets a full copy of a");
    if (i % 10 == 0) notes.told();
  }
  EXPECT_TRUE(notes.waiting().empty()) << "it was told in the first round";
  notes.add("crash", "b: postgres ended unexpectedly");
  notes.add("full copy", "b gets a full copy of a");
  EXPECT_EQ(notes.waiting().size(), 2u) << "something else happened in between";
  notes.forget_last();
  notes.add("full copy", "b gets a full copy of a");
  EXPECT_EQ(notes.waiting().size(), 3u) << "the one before was done";
}

TEST(HistoryNotes, AStoreThatIsAwayForLongGoesWithout) {
  HistoryNotes notes;
  for (int i = 0; i < 1000; ++i) notes.add("follow", "b follows " + std::to_string(i));
  EXPECT_EQ(notes.waiting().size(), HistoryNotes::kMost);
  EXPECT_EQ(notes.waiting().front().second, "b follows 0");
}

}  // namespace
}  // namespace pgb::agent
