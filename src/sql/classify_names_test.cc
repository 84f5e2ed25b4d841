// What the corpus (corpus_test.cc) does not show: names, limits, threads.
#include <gtest/gtest.h>
#include <pthread.h>

#include <thread>

#include "sql/classify.h"
#include "sql/hints.h"

namespace pgb::sql {
namespace {

using Names = std::vector<std::string>;

std::string repeated(const std::string& unit, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += unit;
  return out;
}

TEST(Classify, NamesWhatTheCatalogueIsToBeAskedFor) {
  const Verdict verdict = classify(
      "SELECT count(*), s.f(x), pg_catalog.abs(t.y), \"G\"(1), (t.r).z::s.money2 FROM t JOIN s.u ON t.a === u.b "
      "WHERE a OPERATOR(s.@@) 1 AND b BETWEEN 1 AND 2 AND c IN (SELECT 1) ORDER BY d USING <<<");
  ASSERT_TRUE(verdict.read) << verdict.reason;
  EXPECT_EQ(verdict.functions, (Names{"G", "abs", "count", "s.f"}));
  EXPECT_EQ(verdict.relations, (Names{"s.u", "t"}));
  EXPECT_EQ(verdict.operators, (Names{"<<<", "<=", "=", "===", ">=", "@@"}));
  EXPECT_EQ(verdict.types, (Names{"s.money2"}));
  EXPECT_EQ(verdict.attributes, (Names{"a", "b", "r", "y", "z"}));
}

TEST(Classify, ASamplingMethodOfOnesOwnIsAFunction) {
  EXPECT_EQ(classify("SELECT * FROM t TABLESAMPLE mine(1)").functions, Names{"mine"});
  EXPECT_EQ(classify("SELECT * FROM t TABLESAMPLE system(1)").functions, Names{});
}

TEST(Classify, ACteHidesATableOnlyWhereItIsInScope) {
  const auto relations = [](const char* text) { return classify(text).relations; };
  EXPECT_EQ(relations("WITH t AS (SELECT 1) SELECT * FROM t"), Names{});
  EXPECT_EQ(relations("WITH t AS (SELECT * FROM t) SELECT * FROM t"), Names{"t"});
  EXPECT_EQ(relations("WITH RECURSIVE t AS (SELECT * FROM t) SELECT * FROM t"), Names{});
  EXPECT_EQ(relations("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a"), Names{"b"});
  EXPECT_EQ(relations("WITH t AS (SELECT 1) SELECT * FROM public.t"), Names{"public.t"});
  EXPECT_EQ(relations("SELECT * FROM t WHERE a IN (WITH t AS (SELECT 1) SELECT * FROM t)"), Names{"t"});
  EXPECT_EQ(relations("(WITH t AS (SELECT 1) SELECT * FROM t) UNION SELECT * FROM t"), Names{"t"});
  EXPECT_EQ(relations("WITH t AS (SELECT 1) SELECT * FROM t; SELECT * FROM t"), Names{"t"});
  EXPECT_EQ(relations("WITH t AS (SELECT 1) SELECT (SELECT max(a) FROM (SELECT * FROM t UNION TABLE t) s)"), Names{});
}

TEST(Classify, CopyInIsCopyFromTheClient) {
  EXPECT_TRUE(classify("COPY t FROM STDIN").copy_in);
  EXPECT_FALSE(classify("COPY t FROM '/tmp/x'").copy_in);
  EXPECT_FALSE(classify("COPY t TO STDOUT").copy_in);
}

TEST(Classify, DdlChangesTheCatalogue) {
  for (const char* text : {"CREATE TABLE t (a int)", "DROP VIEW v", "ALTER FUNCTION f() VOLATILE", "DO 'BEGIN END'",
                           "CREATE TABLE t AS SELECT set_config('a.b', 'c', false)", "SELECT 1; DROP TABLE t",
                           "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1"}) {
    EXPECT_TRUE(classify(text).changes_catalog) << text;
  }
  for (const char* text : {"SELECT 1", "INSERT INTO t VALUES (1)", "SET a = 1", "BEGIN", "VACUUM t", "FETCH c",
                           "SHOW a", "EXECUTE p", "LISTEN c", "LOCK t", "COPY t FROM STDIN", "EXPLAIN SELECT 1"}) {
    EXPECT_FALSE(classify(text).changes_catalog) << text;
  }
}

TEST(Classify, NamesFunctionsInCThatAreMade) {
  EXPECT_EQ(classify("CREATE FUNCTION f() RETURNS int LANGUAGE C AS 'a'").new_code, Names{"f"});
  EXPECT_EQ(classify("CREATE OR REPLACE FUNCTION s.f(int) RETURNS int AS 'a', 'b' LANGUAGE 'c'").new_code,
            Names{"s.f"});
  EXPECT_EQ(classify("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'").new_code, Names{});
}

TEST(Classify, SaysWhetherNumbersOfSequencesAreDrawn) {
  for (const char* text :
       {"SELECT nextval('s')", "SELECT pg_catalog.setval('s', 1)", "INSERT INTO t VALUES (nextval('s'))"}) {
    EXPECT_TRUE(classify(text).draws_number) << text;
  }
  for (const char* text : {"SELECT currval('s')", "PREPARE p AS SELECT nextval('s')", "SELECT s.nextval('s')"}) {
    EXPECT_FALSE(classify(text).draws_number) << text;
  }
}

TEST(Classify, CountsStatements) {
  EXPECT_EQ(classify("").statements, 0u);
  EXPECT_EQ(classify("SELECT 1").statements, 1u);
  EXPECT_EQ(classify("SELECT 1; ; SELECT ';'; ").statements, 2u);
}

TEST(Classify, SaysWhenLiteralsMatter) {
  EXPECT_TRUE(classify("SELECT set_config('a', 'b', false)").needs_text);
  EXPECT_FALSE(classify("SELECT a FROM t WHERE b = 'c'").needs_text);
  EXPECT_EQ(classify("SELECT a FROM t WHERE b = 'pg_temp.x'"), classify("SELECT a FROM t WHERE b = 'y'"));
}

TEST(Classify, WhatIsTooLongOrHasAZeroByteIsForThePrimary) {
  const Verdict longest = classify("SELECT '" + std::string(kMaxText, 'x') + "'");
  EXPECT_FALSE(longest.read);
  EXPECT_FALSE(longest.parsed);
  EXPECT_NE(longest.reason.find("too long"), std::string::npos);
  EXPECT_EQ(longest.effects, std::vector<Effect>{Effect{}});
  EXPECT_TRUE(classify("SELECT '" + std::string(kMaxText - 10, 'x') + "'").read);
  EXPECT_FALSE(classify(std::string_view("SELECT 1\0; DROP TABLE t", 23)).read);
}

TEST(Classify, TextThatIsNoUtf8IsLookedInto) {
  EXPECT_TRUE(classify("SELECT 'gr\xf6\xdf"
                       "e'")
                  .read);
  EXPECT_EQ(classify("SELECT \xe9t\xe9()").functions, Names{"\xc3\xa9t\xc3\xa9"});
  EXPECT_TRUE(classify("SELECT '\xed\xa0\x80 \xc0\x80 \xf8'").read);
}

// The texts that nest most deeply for their length.
std::vector<std::string> deep_texts() {
  std::vector<std::string> texts;
  for (const size_t n : {size_t{100}, size_t{1000}, size_t{9000}, size_t{30'000}}) {
    texts.push_back("SELECT " + repeated("(", n) + "1" + repeated(")", n));
    texts.push_back("SELECT " + repeated("1+", n) + "1");
    texts.push_back("SELECT " + repeated("not ", n) + "true");
    texts.push_back("SELECT " + repeated("- ", n) + "1");
    texts.push_back(repeated("values(1)union ", n) + "values(1)");
    texts.push_back("SELECT " + repeated("(select ", n) + "1" + repeated(")", n));
    texts.push_back("SELECT " + repeated("case when 1 then ", n) + "1" + repeated(" end", n));
    texts.push_back("SELECT " + repeated("f(", n) + "1" + repeated(")", n));
    texts.push_back("SELECT 1" + repeated("::a", n));
    texts.push_back("SELECT " + repeated("array[", n) + "1" + repeated("]", n));
    texts.push_back("SELECT * FROM " + repeated("(", n) + "a" + repeated(" join b on true)", n));
    texts.push_back("WITH a AS " + repeated("(WITH a AS ", n) + "(SELECT 1)" + repeated("SELECT 1)", n) + "SELECT 1");
    texts.push_back("EXPLAIN " + repeated("EXPLAIN ", n) + "SELECT 1");
    texts.push_back("/*" + repeated("/*", n) + repeated("*/", n) + "*/ SELECT 1");
    texts.push_back("SELECT " + repeated("1,", n) + "1");
    texts.push_back(repeated("SELECT 1;", n));
  }
  return texts;
}

TEST(Classify, SurvivesDeepNestingOnTheStackItAsksFor) {
  pthread_attr_t how;
  ASSERT_EQ(pthread_attr_init(&how), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&how, kClassifyStack), 0);
  pthread_t thread;
  const auto body = [](void*) -> void* {
    for (const std::string& text : deep_texts()) EXPECT_FALSE(classify(text).reason.empty());
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &how, body, nullptr), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&how);
}

TEST(Classify, ThousandsOfCommentsTakeNoTime) {
  EXPECT_FALSE(classify("/*" + repeated("/*", 50'000) + repeated("*/", 50'000) + "*/ SELECT 1").read);
  EXPECT_TRUE(classify(repeated("/* a */ ", 400) + "SELECT 1").read);
}

TEST(Classify, AReadOfUsualDepthStaysOne) {
  EXPECT_TRUE(classify("SELECT " + repeated("1+", 500) + "1").read);
  EXPECT_TRUE(classify("SELECT " + repeated("(select ", 100) + "1" + repeated(")", 100)).read);
  EXPECT_TRUE(classify("SELECT 1 WHERE " + repeated("a = 1 OR ", 5000) + "b").read);
  EXPECT_FALSE(classify("SELECT " + repeated("1+", 5000) + "1").read);
}

TEST(Classify, MayBeCalledBySeveralThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 200; ++i) {
        EXPECT_TRUE(classify("SELECT a FROM t WHERE b = 1").read);
        EXPECT_FALSE(classify("SELECT nextval('s')").read);
        EXPECT_FALSE(classify("SELEC").parsed);
        EXPECT_TRUE(classify("SELECT '" + std::string(3000, 'x') + "'").read);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Hints, TheCautiousOneWins) {
  EXPECT_EQ(find_hint("/* pgbalancer: replica */ SELECT 1"), Hint::kReplica);
  EXPECT_EQ(find_hint("/* pgbalancer: primary */ /* pgbalancer: replica */ SELECT 1"), Hint::kPrimary);
  EXPECT_EQ(find_hint("SELECT 1 /* pgbalancer: replica */"), Hint::kNone);
  EXPECT_EQ(find_hint("-- x /* pgbalancer: replica */\nSELECT 1"), Hint::kNone);
  EXPECT_EQ(find_hint("/* pgbalancer: replica"), Hint::kNone);
  EXPECT_EQ(find_hint("--pgbalancer: replica\rSELECT 1"), Hint::kReplica);
}

}  // namespace
}  // namespace pgb::sql
