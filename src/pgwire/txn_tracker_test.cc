#include "pgwire/txn_tracker.h"

#include <gtest/gtest.h>

namespace pgb::pgwire {
namespace {

void sends(TxnTracker& tracker, std::string_view tags) {
  for (char tag : tags) tracker.on_frontend(tag);
}
void answers(TxnTracker& tracker, std::string_view tags, std::string_view status = "I") {
  for (char tag : tags) tracker.on_backend(tag, tag == be::kReadyForQuery ? status : std::string_view());
}

TEST(TxnTracker, ASimpleQueryIsBusyUntilItIsAnswered) {
  TxnTracker tracker;
  EXPECT_TRUE(tracker.idle());
  sends(tracker, "Q");
  EXPECT_FALSE(tracker.idle());
  answers(tracker, "TDC");
  EXPECT_FALSE(tracker.idle());
  answers(tracker, "Z");
  EXPECT_TRUE(tracker.idle());
}

TEST(TxnTracker, ATransactionIsQuietButNotIdle) {
  TxnTracker tracker;
  sends(tracker, "Q");
  answers(tracker, "CZ", "T");
  EXPECT_TRUE(tracker.quiet());
  EXPECT_FALSE(tracker.idle());
  sends(tracker, "Q");
  answers(tracker, "EZ", "E");
  EXPECT_EQ(tracker.status(), TxnStatus::kFailed);
  EXPECT_FALSE(tracker.idle());
}

TEST(TxnTracker, PipelinedQueriesAreAllAwaited) {
  TxnTracker tracker;
  sends(tracker, "QQPBES");
  EXPECT_EQ(tracker.pending(), 3u);
  answers(tracker, "CZCZ");
  EXPECT_FALSE(tracker.idle());
  answers(tracker, "12CZ");
  EXPECT_TRUE(tracker.idle());
}

TEST(TxnTracker, MessagesWithoutSyncKeepItBusy) {
  TxnTracker tracker;
  sends(tracker, "PH");
  answers(tracker, "1");
  EXPECT_FALSE(tracker.idle());
  sends(tracker, "S");
  answers(tracker, "Z");
  EXPECT_TRUE(tracker.idle());
}

TEST(TxnTracker, CopyInBySimpleQuery) {
  TxnTracker tracker;
  sends(tracker, "Q");
  answers(tracker, "G");
  EXPECT_EQ(tracker.copy(), TxnTracker::Copy::kIn);
  sends(tracker, "ddc");
  EXPECT_FALSE(tracker.idle());
  answers(tracker, "CZ");
  EXPECT_TRUE(tracker.idle());
}

TEST(TxnTracker, TheSyncThatCopySwallowsIsNotAwaited) {
  TxnTracker tracker;
  sends(tracker, "PBDES");
  answers(tracker, "12nG");
  EXPECT_EQ(tracker.pending(), 0u);
  EXPECT_FALSE(tracker.idle());
  sends(tracker, "dSdc");  // a Sync among the data is swallowed, too
  EXPECT_FALSE(tracker.idle());
  sends(tracker, "S");
  answers(tracker, "C");
  EXPECT_FALSE(tracker.idle());
  answers(tracker, "Z");
  EXPECT_TRUE(tracker.idle());
}

TEST(TxnTracker, CopyDataSentAheadOfTheAnswer) {
  TxnTracker tracker;
  sends(tracker, "QPBEdcS");
  answers(tracker, "CZ12G");
  EXPECT_EQ(tracker.pending(), 1u);
  answers(tracker, "CZ");
  EXPECT_TRUE(tracker.idle());
}

TEST(TxnTracker, AFailedCopyEndsWithItsError) {
  TxnTracker tracker;
  sends(tracker, "Q");
  answers(tracker, "G");
  sends(tracker, "d");
  answers(tracker, "EZ");
  EXPECT_TRUE(tracker.idle());
  sends(tracker, "c");  // came too late; the server ignores it
  EXPECT_TRUE(tracker.idle());
  sends(tracker, "Q");
  answers(tracker, "CZ");
  EXPECT_TRUE(tracker.idle());
}

TEST(TxnTracker, CopyOutAndBoth) {
  TxnTracker tracker;
  sends(tracker, "Q");
  answers(tracker, "Hdd");
  EXPECT_EQ(tracker.copy(), TxnTracker::Copy::kOut);
  answers(tracker, "cCZ");
  EXPECT_TRUE(tracker.idle());
  sends(tracker, "Q");
  answers(tracker, "W");
  EXPECT_EQ(tracker.copy(), TxnTracker::Copy::kBoth);
  sends(tracker, "dc");
  answers(tracker, "dc");
  EXPECT_FALSE(tracker.idle());
  answers(tracker, "CZ");
  EXPECT_TRUE(tracker.idle());
}

TEST(TxnTracker, ATerminatedConnectionServesNobodyElse) {
  TxnTracker tracker;
  sends(tracker, "X");
  EXPECT_FALSE(tracker.idle());
}

}  // namespace
}  // namespace pgb::pgwire
