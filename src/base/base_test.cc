#include <gtest/gtest.h>

#include <set>

#include "base/deadline.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/strings.h"

namespace pgb {
namespace {

TEST(ErrorTable, HasOneRowForEachCodeInOrderWithItsOwnId) {
  std::set<std::string_view> ids;
  int expected = 0;
  for (const ErrorInfo& row : error_table()) {
    EXPECT_EQ(static_cast<int>(row.code), expected++) << row.id;
    EXPECT_TRUE(ids.insert(row.id).second) << row.id;
    EXPECT_NE(row.exit_code, 0) << row.id;
  }
  EXPECT_EQ(expected, static_cast<int>(Code::kCompacted) + 1);
}

Result<int> half(int n) {
  if (n % 2 != 0) return Error(Code::kUsage, "odd");
  return n / 2;
}

Status both(int a, int b) {
  PGB_TRY(half(a));
  PGB_TRY(half(b));
  return {};
}

TEST(Result, CarriesTheFirstErrorUp) {
  EXPECT_EQ(half(4).value(), 2);
  EXPECT_TRUE(both(2, 4).ok());
  const Status failed = both(2, 3);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().message, "odd");
}

TEST(Secret, ComparesAndIsRandom) {
  EXPECT_TRUE(Secret("abc").equals("abc"));
  EXPECT_FALSE(Secret("abc").equals("abd"));
  EXPECT_FALSE(Secret("abc").equals("abcd"));
  EXPECT_FALSE(Secret("").equals(std::string_view("\0", 1)));
  EXPECT_EQ(Secret::random(16).reveal().size(), 32u);
  EXPECT_FALSE(Secret::random(16) == Secret::random(16));
}

TEST(Strings, ParsersTakeTheWholeTextOrNothing) {
  EXPECT_EQ(parse_port("5432"), 5432);
  EXPECT_FALSE(parse_port("0"));
  EXPECT_FALSE(parse_port("70000"));
  EXPECT_FALSE(parse_port("5432x"));
  EXPECT_FALSE(parse_u64("-1"));
  EXPECT_FALSE(parse_u64(""));
  EXPECT_EQ(parse_duration_ms("250ms"), 250);
  EXPECT_EQ(parse_duration_ms("3"), 3000);
  EXPECT_EQ(parse_duration_ms("2m"), 120000);
  EXPECT_EQ(parse_duration_ms("1d"), 86400000);
  EXPECT_FALSE(parse_duration_ms("2x"));
}

TEST(Strings, NearestFindsTypingMistakesOnly) {
  EXPECT_EQ(nearest("clustr_name", {"cluster_name", "network"}), "cluster_name");
  EXPECT_EQ(nearest("zebra", {"cluster_name", "network"}), "");
}

TEST(Deadline, Expires) {
  EXPECT_TRUE(Deadline::after(std::chrono::milliseconds(0)).expired());
  EXPECT_FALSE(Deadline::never().expired());
  EXPECT_EQ(Deadline::never().poll_ms(), -1);
  EXPECT_LE(Deadline::never().sooner(std::chrono::milliseconds(5)).remaining().count(), 5);
}

TEST(Strings, TellsUtf8FromOtherBytes) {
  for (const char* good : {"", "plain", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x90\x98", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xc0\xaf", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xe0\x80\x80", "\xf4\x90\x80\x80",
                          "\xf0\x80\x80\x80", "\xff\xfe", "a\xc3z"}) {
    EXPECT_FALSE(is_utf8(bad)) << bad;
  }
  EXPECT_EQ(utf8_length("a\xe2\x82\xac", 1), 3u);
  EXPECT_EQ(utf8_length("a", 1), 0u);
}

}  // namespace
}  // namespace pgb
