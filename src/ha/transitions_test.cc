#include "ha/transitions.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace pgb::ha {
namespace {

TEST(Transitions, EachStateAnswersAnEventInOneWay) {
  std::set<std::pair<State, Event>> seen;
  for (const Row& row : transitions()) {
    EXPECT_TRUE(seen.emplace(row.from, row.event).second) << to_string(row.from) << ": " << row.text;
  }
}

TEST(Transitions, EveryStateCanBeLeftAndLeadingCanBeReached) {
  std::set<State> reached{State::kAbsent, State::kBuilding};  // a broken-off copy is found, not decided
  for (size_t round = 0; round < transitions().size(); ++round) {
    for (const Row& row : transitions()) {
      if (reached.contains(row.from)) reached.insert(row.to);
    }
  }
  // The store falling silent, or the key gone, are found as well.
  for (State state : {State::kFollowing, State::kElected, State::kOpening, State::kLeading, State::kDown}) {
    EXPECT_TRUE(reached.contains(state)) << to_string(state);
  }
  for (const Row& row : transitions()) {
    bool leaves = false;
    for (const Row& other : transitions()) leaves |= other.from == row.from && other.to != row.from;
    EXPECT_TRUE(leaves) << to_string(row.from);
  }
}

TEST(Transitions, TheDocumentedDiagramIsTheTable) {
  std::ifstream file(PGB_SOURCE_DIR "/docs/ha-states.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), state_diagram()) << "print it again: build/bin/ha_simulate --diagram > docs/ha-states.md";
}

}  // namespace
}  // namespace pgb::ha
