#include "agent/store_age.h"

#include <gtest/gtest.h>

namespace pgb::agent {
namespace {

using Answer = StoreAge::Answer;

ha::Time at(int ms) { return ha::Time{} + ha::Duration(ms); }

TEST(StoreAge, ItGrows) {
  StoreAge age;
  EXPECT_EQ(age.take(10, "1", at(0), at(5)), Answer::kNews);
  EXPECT_EQ(age.take(10, "1", at(6), at(9)), Answer::kNews);
  EXPECT_EQ(age.take(12, "1", at(10), at(11)), Answer::kNews);
  EXPECT_EQ(age.restored(3), std::nullopt);
}

TEST(StoreAge, TwoQuestionsAtOnceAreNoWayBack) {
  StoreAge age;
  EXPECT_EQ(age.take(10, "1", at(0), at(5)), Answer::kNews);
  // The later one was answered first, but came last.
  EXPECT_EQ(age.take(12, "1", at(10), at(30)), Answer::kNews);
  EXPECT_EQ(age.take(11, "1", at(20), at(31)), Answer::kOlder);
  // The earlier one came last.
  EXPECT_EQ(age.take(13, "1", at(40), at(50)), Answer::kNews);
  EXPECT_EQ(age.take(14, "1", at(39), at(51)), Answer::kOlder);
  EXPECT_EQ(age.restored(3), std::nullopt);
}

TEST(StoreAge, AStoreThatWentBackIsKnownUntilSyncIsWrittenAgain) {
  StoreAge age;
  EXPECT_EQ(age.take(100, "1", at(0), at(5)), Answer::kNews);
  EXPECT_EQ(age.restored(90), std::nullopt);
  EXPECT_EQ(age.take(40, "1", at(10), at(15)), Answer::kWentBack);
  EXPECT_EQ(age.restored(30), at(15));
  EXPECT_EQ(age.take(41, "1", at(20), at(25)), Answer::kNews);
  EXPECT_EQ(age.restored(30), at(15));
  EXPECT_EQ(age.take(42, "1", at(30), at(35)), Answer::kNews);
  EXPECT_EQ(age.restored(42), std::nullopt);
  EXPECT_EQ(age.restored(30), std::nullopt) << "for good";
}

TEST(StoreAge, AnEmptiedStoreAndOneThatGoesBackTwice) {
  StoreAge age;
  age.take(100, "", at(0), at(5));
  EXPECT_EQ(age.take(1, "", at(10), at(15)), Answer::kWentBack);
  EXPECT_EQ(age.restored(0), at(15));
  age.take(50, "", at(20), at(25));
  EXPECT_EQ(age.take(49, "", at(30), at(35)), Answer::kWentBack);
  EXPECT_EQ(age.restored(20), at(35));
}

TEST(StoreAge, AnotherClusterIsNotTheStoreThatItWas) {
  StoreAge age;
  age.take(100, "1", at(0), at(5));
  EXPECT_EQ(age.take(500, "2", at(10), at(15)), Answer::kWentBack);
  EXPECT_EQ(age.restored(7), at(15));
  EXPECT_EQ(age.take(501, "2", at(20), at(25)), Answer::kNews);
}

}  // namespace
}  // namespace pgb::agent
