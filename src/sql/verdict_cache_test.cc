#include "sql/verdict_cache.h"

#include <gtest/gtest.h>

#include "sql/classify.h"

namespace pgb::sql {
namespace {

std::shared_ptr<const Catalog> catalog(std::vector<std::vector<std::optional<std::string>>> rows, uint64_t version) {
  return Catalog::from_rows(rows, version);
}

TEST(VerdictCache, StatementsThatDifferInLiteralsAreParsedOnce) {
  VerdictCache cache;
  const auto* first = &cache.get("SELECT a FROM t WHERE b = 1", nullptr);
  const auto* second = &cache.get("SELECT a FROM t WHERE b = 2", nullptr);
  EXPECT_EQ(first, second);
  EXPECT_EQ(cache.misses(), 1u);
  EXPECT_EQ(cache.hits(), 1u);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(VerdictCache, EffectsThatAreInLiteralsAreEachTheirOwn) {
  VerdictCache cache;
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(cache.get("SELECT set_config('a.b', '1', false)", nullptr).verdict.effects.at(0).value, "1");
    EXPECT_EQ(cache.get("SELECT set_config('a.b', '2', false)", nullptr).verdict.effects.at(0).value, "2");
  }
  EXPECT_EQ(cache.misses(), 2u);
}

TEST(VerdictCache, ASyntaxErrorDoesNotSpeakForOthersOfItsShape) {
  VerdictCache cache;
  EXPECT_FALSE(cache.get("SELECT 1\n'x'", nullptr).verdict.parsed);
  EXPECT_TRUE(cache.get("SELECT 'y'\n'x'", nullptr).verdict.read);
}

TEST(VerdictCache, ATextIsNotMistakenForTheNormalFormOfAnother) {
  VerdictCache cache;
  EXPECT_FALSE(cache.get("SELECT a \\? ?", nullptr).verdict.parsed);
  EXPECT_TRUE(cache.get("SELECT a ? 1", nullptr).verdict.read);
  EXPECT_TRUE(cache.get("SELECT a ? 2", nullptr).verdict.read);
}

TEST(VerdictCache, TheEncodingOfALiteralDoesNotChangeHowNamesAreRead) {
  const Verdict valid = classify("SELECT '\xc3\xa9' FROM t\xc3\xa4");
  EXPECT_EQ(classify("SELECT '\xe9' FROM t\xc3\xa4"), valid);
  EXPECT_EQ(valid.relations, std::vector<std::string>{"t\xc3\xa4"});
}

TEST(VerdictCache, ANewCatalogueMakesNewDecisions) {
  VerdictCache cache;
  const std::string text = "SELECT f(a) FROM t";
  EXPECT_FALSE(cache.get(text, nullptr).decision.replica);
  const auto stable = catalog({{"f", "public", "f"}, {"k", "public", "t"}}, 1);
  EXPECT_TRUE(cache.get(text, stable.get()).decision.replica);
  EXPECT_TRUE(cache.get(text, stable.get()).decision.replica);
  const auto now_volatile = catalog({{"v", "public", "f"}, {"k", "public", "t"}}, 2);
  EXPECT_FALSE(cache.get(text, now_volatile.get()).decision.replica);
  EXPECT_EQ(cache.misses(), 1u);
}

TEST(VerdictCache, ItIsBoundedByEntriesAndForgetsTheOneUnusedForLongest) {
  VerdictCache cache(10);
  for (int i = 0; i < 100; ++i) {
    cache.get("SELECT " + std::string(static_cast<size_t>(i + 1), 'a'), nullptr);
    cache.get("SELECT b", nullptr);
  }
  EXPECT_EQ(cache.size(), 10u);
  const uint64_t misses = cache.misses();
  cache.get("SELECT b", nullptr);
  EXPECT_EQ(cache.misses(), misses);
}

TEST(VerdictCache, ATextThatComesAgainIsKnownUntilItIsForgotten) {
  VerdictCache cache(2);
  const auto reads = [&](const std::string& table) { return cache.get("SELECT a FROM " + table, nullptr).verdict; };
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(reads("t1").relations, std::vector<std::string>{"t1"});
    EXPECT_EQ(reads("t2").relations, std::vector<std::string>{"t2"});
  }
  EXPECT_EQ(cache.misses(), 2u);
  EXPECT_EQ(reads("t1").relations, std::vector<std::string>{"t1"});  // the newest again
  EXPECT_EQ(reads("t3").relations, std::vector<std::string>{"t3"});  // t2 goes
  EXPECT_EQ(reads("t1").relations, std::vector<std::string>{"t1"});
  EXPECT_EQ(cache.misses(), 3u);
  EXPECT_EQ(reads("t2").relations, std::vector<std::string>{"t2"});
  EXPECT_EQ(cache.misses(), 4u);
  cache.clear();
  EXPECT_EQ(reads("t2").relations, std::vector<std::string>{"t2"});
  EXPECT_EQ(cache.misses(), 5u);
}

TEST(VerdictCache, TextsThatLookAlikeAreToldApart) {
  VerdictCache cache;
  // The same length and the same bytes where a text is looked at to find its place among the last ones.
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(cache.get("SELECT a1 FROM the_table WHERE b = 1", nullptr).verdict.writes, false);
    EXPECT_EQ(cache.get("SELECT a2 FROM the_table WHERE b = 1", nullptr).verdict.writes, false);
    EXPECT_EQ(cache.get("DELETE    FROM the_table WHERE b = 1", nullptr).verdict.writes, true);
  }
  EXPECT_EQ(cache.misses(), 3u);
  EXPECT_EQ(cache.hits(), 6u);
}

TEST(VerdictCache, ItIsBoundedByBytes) {
  VerdictCache cache(10'000, 100'000);
  for (int i = 0; i < 200; ++i) {
    cache.get("SELECT " + std::string(2000, 'a') + std::to_string(i) + "b", nullptr);
    EXPECT_LT(cache.bytes(), 110'000u);
  }
  EXPECT_GT(cache.size(), 5u);
}

TEST(VerdictCache, ATextTooLongToBeKeptGetsItsVerdict) {
  VerdictCache cache;
  const std::string text = "SELECT " + std::string(20'000, 'a') + " FROM t";
  EXPECT_TRUE(cache.get(text, nullptr).verdict.read);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(VerdictCache, AnInsertOfMegabytesIsLookedIntoAndSharesItsVerdict) {
  VerdictCache cache;
  for (int size : {100'000, 120'000}) {
    std::string text = "INSERT INTO t VALUES (1, 'x')";
    for (int i = 0; i < size; ++i) text += ",(" + std::to_string(i) + ", 'x')";
    ASSERT_GT(text.size(), kMaxText);
    const Verdict& verdict = cache.get(text, nullptr).verdict;
    EXPECT_TRUE(verdict.parsed);
    EXPECT_TRUE(verdict.effects.empty());
    EXPECT_EQ(verdict.reason, "it writes");
  }
  EXPECT_EQ(cache.misses(), 1u);
}

}  // namespace
}  // namespace pgb::sql
