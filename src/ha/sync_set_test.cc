#include "ha/sync_set.h"

#include <gtest/gtest.h>

#include <random>

namespace pgb::ha {
namespace {

using Kind = SyncStep::Kind;

std::vector<std::string> subset(unsigned mask) {
  std::vector<std::string> names;
  for (unsigned i = 0; i < 4; ++i) {
    if (mask & (1U << i)) names.emplace_back(1, static_cast<char>('a' + i));
  }
  return names;
}

unsigned mask_of(const std::vector<std::string>& names) {
  unsigned mask = 0;
  for (const auto& name : names) mask |= 1U << (name[0] - 'a');
  return mask;
}

TEST(SyncSet, AMajorityOfTheGroupHasEachCommitAndEnoughAreSeen) {
  EXPECT_EQ(majority_required(0), 0U);
  EXPECT_EQ(majority_required(1), 1U);
  EXPECT_EQ(majority_required(2), 1U);
  EXPECT_EQ(majority_required(3), 2U);
  EXPECT_EQ(majority_required(4), 2U);
  EXPECT_EQ(evidence_needed({{"a", "b"}, 1}), 2U);
  EXPECT_EQ(evidence_needed({{}, 0}), 1U);
}

TEST(SyncSet, TheSettingIsWhatPostgresReads) {
  EXPECT_EQ(standby_names({true, {}}), "ANY 1 (pgbalancer_nobody)");
  EXPECT_EQ(standby_names({false, {}}), "");
  EXPECT_EQ(standby_names({false, {{"a", "b"}, 1}}), "ANY 1 (\"a\", \"b\")");
}

// Held against the meaning, over all sets of four.
TEST(SyncSet, ImpliesMeansThatEveryConfirmationIsOne) {
  for (unsigned s = 0; s < 16; ++s) {
    for (unsigned w = 0; w < 16; ++w) {
      SyncSet by{subset(s), 0};
      SyncSet wanted{subset(w), 0};
      for (by.required = 0; by.required <= by.members.size(); ++by.required) {
        for (wanted.required = 0; wanted.required <= wanted.members.size(); ++wanted.required) {
          bool holds = true;
          for (unsigned acks = 0; acks < 16; ++acks) {
            bool confirmed = static_cast<unsigned>(__builtin_popcount(acks & s)) >= by.required;
            if (confirmed && static_cast<unsigned>(__builtin_popcount(acks & w)) < wanted.required) holds = false;
          }
          EXPECT_EQ(implies(by, wanted), holds) << describe(by) << " / " << describe(wanted);
        }
      }
    }
  }
}

// Random wishes, random standbys that stream: at no step there is an acknowledged commit that an election of the
// record could miss, and a wish whose standbys all stream is fulfilled.
TEST(SyncSet, NoStepLeavesAnAcknowledgedCommitOutsideTheRecord) {
  std::mt19937 random(7);
  for (int run = 0; run < 3000; ++run) {
    SyncFacts facts;
    facts.recorded = SyncSet{};
    facts.in_effect = {false, {}};
    std::vector<unsigned> commits;  // who has each acknowledged commit
    Lsn lsn = 0;
    std::map<std::string, Lsn> flushed;
    for (int step = 0; step < 60; ++step) {
      unsigned streaming = random() % 16;
      if (step % 12 == 0) {
        facts.wanted.members = subset(random() % 16);
        facts.wanted.required = facts.wanted.members.empty() ? 0 : 1 + random() % facts.wanted.members.size();
      }
      if (step % 12 > 1) streaming |= mask_of(facts.wanted.members);
      unsigned got = random() & streaming;
      ++lsn;
      const SyncSet& v = facts.in_effect.set;
      bool acknowledged =
          !facts.in_effect.closed && static_cast<unsigned>(__builtin_popcount(got & mask_of(v.members))) >= v.required;
      commits.push_back(acknowledged ? got : ~0U);
      // What streams has all up to here, sooner or later.
      facts.flushed.clear();
      for (unsigned i = 0; i < 4; ++i) {
        std::string name(1, static_cast<char>('a' + i));
        if ((streaming & (1U << i)) && random() % 2) {
          flushed[name] = lsn;
          for (auto& who : commits) who |= 1U << i;
        }
        if (streaming & (1U << i)) facts.flushed[name] = flushed[name];
      }
      SyncStep next = next_sync_step(facts);
      if (next.kind == Kind::kRecord) facts.recorded = next.set;
      if (next.kind == Kind::kApply) facts.in_effect = {false, next.set}, facts.since = lsn;
      for (unsigned who : commits) {
        ASSERT_GE(static_cast<unsigned>(__builtin_popcount(who & mask_of(facts.recorded->members))),
                  facts.recorded->required)
            << "run " << run << " step " << step;
      }
      ASSERT_TRUE(implies(facts.in_effect, *facts.recorded));
    }
  }
}

TEST(SyncSet, AReplacedMemberNeedsNoDeadOne) {
  SyncFacts facts{SyncSet{{"a"}, 1}, {false, {{"a"}, 1}}, 5, {{"b", 9}}, {{"b"}, 1}};
  auto step = next_sync_step(facts);
  EXPECT_EQ(step, (SyncStep{Kind::kRecord, {{"a", "b"}, 1}}));
  facts.recorded = step.set;
  step = next_sync_step(facts);
  EXPECT_EQ(step, (SyncStep{Kind::kApply, {{"b"}, 1}}));
  facts.in_effect = {false, step.set};
  facts.since = 10;
  EXPECT_TRUE(next_sync_step(facts).waits) << "b has not yet what was acknowledged on a";
  facts.flushed["b"] = 10;
  EXPECT_EQ(next_sync_step(facts), (SyncStep{Kind::kRecord, {{"b"}, 1}}));
}

TEST(SyncSet, TheLastStandbyIsGoneFirstInTheRecordThenOnTheServer) {
  SyncFacts facts{SyncSet{{"a"}, 1}, {false, {{"a"}, 1}}, 5, {}, {{}, 0}};
  EXPECT_EQ(next_sync_step(facts), (SyncStep{Kind::kRecord, {{}, 0}}));
  facts.recorded = SyncSet{};
  EXPECT_EQ(next_sync_step(facts), (SyncStep{Kind::kApply, {{}, 0}}));
}

}  // namespace
}  // namespace pgb::ha
