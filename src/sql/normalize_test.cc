#include "sql/normalize.h"

#include <gtest/gtest.h>

#include "sql/classify.h"

namespace pgb::sql {
namespace {

std::string key_of(std::string_view text) {
  std::string key;
  normalize(text, key);
  return key;
}

std::string cache_key_of(std::string_view text) {
  std::string key;
  normalize_for_cache(text, key);
  return key;
}

bool is_shared(std::string_view text) {
  std::string key;
  const bool shared = normalize(text, key);
  if (!shared) {
    EXPECT_EQ(key, text);
  }
  return shared;
}

TEST(Normalize, LiteralsBecomeQuestionMarksAndNothingElseChanges) {
  EXPECT_EQ(key_of("SELECT abalance FROM pgbench_accounts WHERE aid = 42;"),
            "SELECT abalance FROM pgbench_accounts WHERE aid = ?;");
  EXPECT_EQ(key_of("insert into t values (1, 'it''s', -2.50, .5)"), "insert into t values (?, ?, -?.?, .?)");
  EXPECT_EQ(key_of("select ''  , $1, t1.c2 from t1"), "select ?  , $1, t1.c2 from t1");
  EXPECT_EQ(key_of("select a$1, \"1 'x'\", \"a\"\"b\" from t"), "select a$1, \"1 'x'\", \"a\"\"b\" from t");
  EXPECT_EQ(key_of("select 1e5, 0x1F, 1_000, 12ab"), "select 1e5, 0x1F, 1_000, 12ab");
  EXPECT_EQ(key_of("select 'a'\n'b'"), "select ?\n?");
}

TEST(Normalize, AnOperatorIsNotTakenForALiteral) {
  EXPECT_EQ(key_of("select a ? 'b'"), "select a \\? ?");
  EXPECT_NE(key_of("select 1?2"), key_of("select ??1"));
}

TEST(Normalize, CommentsStayAndWhatIsInThemIsNoLiteral) {
  EXPECT_EQ(key_of("/* 1 'x */ select 1 -- 2 '\n, 3"), "/* 1 'x */ select ? -- 2 '\n, ?");
  EXPECT_EQ(key_of("select 1 /* /* 2 */ ' */ + 3"), "select ? /* /* 2 */ ' */ + ?");
  EXPECT_EQ(key_of("select 4-1--2"), "select ?-?--2");
}

TEST(Normalize, WhatIsNotUnderstoodIsKeptAsItIs) {
  for (const char* text : {"select E'a'",
                           "select U&'a'",
                           "select B'1'",
                           "select x'1f'",
                           "select N'x'",
                           "select $$a$$",
                           "select $a$b$a$",
                           "select 'a\\'b'",
                           "select \"a\\\"",
                           "select U&\"a\"",
                           "select 'open",
                           "select \"open",
                           "select /* open",
                           "set a = 1",
                           "copy t to stdout",
                           "(select 1)",
                           "begin",
                           "",
                           "   ",
                           "-- select 1",
                           "selection",
                           "select_1",
                           "select1",
                           "values1",
                           "explain select 1",
                           "select 1::float(3)",
                           "select $"}) {
    EXPECT_FALSE(is_shared(text)) << text;
  }
}

TEST(Normalize, StatementsOnDataAreShared) {
  for (const char* text : {"select 1", "SELECT(1)", "  \n\tInsert into t values (1)", "UPDATE t SET a=1",
                           "delete from t", "with a as (select 1) table a", "values(1)", "/* x */ -- y\nselect 1"}) {
    EXPECT_TRUE(is_shared(text)) << text;
  }
}

TEST(Normalize, TheArgumentOfCurrentSettingIsKept) {
  EXPECT_EQ(key_of("select 'x', 1, Current_Setting('a.b')"), "select 'x', ?, Current_Setting('a.b')");
  EXPECT_EQ(key_of("select \"current_setting\" ( ('a.b') )"), "select \"current_setting\" ( ('a.b') )");
}

TEST(Normalize, ForTheCacheCommentsAreCutButForHints) {
  EXPECT_EQ(cache_key_of("select 1 /* trace 17 */ + 2 -- 18\n"), "select ? /**/ + ? --\n");
  EXPECT_EQ(cache_key_of("/* trace 17 */ select 1"), "/**/ select ?");
  EXPECT_EQ(cache_key_of("/* pgbalancer: primary */ select 1"), "/* pgbalancer: primary */ select ?");
  EXPECT_EQ(cache_key_of("select 1 /* pgbalancer: primary */"), "select ? /**/");
}

std::string rows(int count, const std::string& row) {
  std::string text = "INSERT INTO t (a, b) VALUES " + row;
  for (int i = 1; i < count; ++i) text += ", " + row;
  return text;
}

TEST(Normalize, LongListsHaveOneKeyAndAShortTextThatIsJudgedAlike) {
  std::string key, other, reduced;
  EXPECT_TRUE(normalize_for_cache(rows(500, "(1, 'x')"), key, &reduced));
  EXPECT_EQ(key, "INSERT INTO t (a, b) VALUES (?)");
  EXPECT_EQ(reduced, "INSERT INTO t (a, b) VALUES (1)");
  EXPECT_TRUE(normalize_for_cache(rows(900, "(2, 'y')"), other, &reduced));
  EXPECT_EQ(key, other);

  EXPECT_TRUE(normalize_for_cache(rows(500, "(1, f, 'x')") + " RETURNING 1", key, &reduced));
  EXPECT_EQ(reduced, "INSERT INTO t (a, b) VALUES (1, f, 'x') RETURNING 1");

  std::string in = "SELECT * FROM t WHERE a IN (1";
  for (int i = 0; i < 500; ++i) in += ",2";
  EXPECT_TRUE(normalize_for_cache(in + ") AND b = 3", key, &reduced));
  EXPECT_EQ(reduced, "SELECT * FROM t WHERE a IN (1) AND b = 3");
}

TEST(Normalize, ARowThatDiffersIsNeverLeftOut) {
  std::string key, reduced;
  EXPECT_TRUE(normalize_for_cache(rows(300, "(1, 2)") + ", (nextval('s'), 2)" + ", (3, 4)", key, &reduced));
  EXPECT_NE(reduced.find("nextval"), std::string::npos);
  EXPECT_TRUE(normalize_for_cache(rows(300, "(1, 2)") + ", (3, x), (3, y)", key, &reduced));
  EXPECT_NE(reduced.find("(3, x), (3, y)"), std::string::npos);
}

TEST(Normalize, TheKeyNeedsNoNewMemory) {
  std::string key;
  key.reserve(200);
  const void* before = key.data();
  for (int i = 0; i < 100; ++i) {
    normalize("select a from t where b = " + std::to_string(i), key);
    EXPECT_EQ(static_cast<const void*>(key.data()), before);
  }
}

}  // namespace
}  // namespace pgb::sql
