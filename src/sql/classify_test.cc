#include "sql/classify.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <thread>

#include "sql/normalize.h"

namespace pgb::sql {
namespace {

TEST(Classify, TellsWhatIsSet) {
  const Verdict verdict = classify("SET LOCAL my.thing TO 'a', 5; RESET work_mem");
  ASSERT_EQ(verdict.effects.size(), 2u);
  EXPECT_EQ(verdict.effects[0], (Effect{Effect::Kind::kSet, "my.thing", "a, 5", true}));
  EXPECT_EQ(verdict.effects[1], (Effect{Effect::Kind::kReset, "work_mem", "", false}));
  EXPECT_TRUE(verdict.needs_text);
  EXPECT_EQ(classify("SELECT set_config('a.b', 'c', true)").effects[0], (Effect{Effect::Kind::kSet, "a.b", "c", true}));
}

TEST(Classify, TellsTransactionsApart) {
  EXPECT_EQ(classify("BEGIN").transaction, Transaction::kBegin);
  EXPECT_EQ(classify("BEGIN READ ONLY").transaction, Transaction::kBeginReadOnly);
  EXPECT_EQ(classify("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY").transaction, Transaction::kBeginReadWrite);
  EXPECT_EQ(classify("COMMIT AND CHAIN").transaction, Transaction::kCommit);
  EXPECT_EQ(classify("ABORT").transaction, Transaction::kRollback);
  EXPECT_EQ(classify("SAVEPOINT a").transaction, Transaction::kSavepoint);
  EXPECT_EQ(classify("PREPARE TRANSACTION 'x'").transaction, Transaction::kTwoPhase);
  EXPECT_EQ(classify("BEGIN; SELECT 1; COMMIT").transaction, Transaction::kCommit);
  EXPECT_EQ(classify("BEGIN; SELECT 1; COMMIT").statements, 3u);
}

TEST(Classify, TellsWhatAReadOnlyTransactionMayAskOfAReplica) {
  for (const char* text :
       {"SELECT f(a) FROM t", "COMMIT", "SAVEPOINT a", "SET LOCAL work_mem = '1MB'", "SHOW work_mem",
        "SELECT set_config('a.b', 'c', true)", "FETCH c", "DECLARE c CURSOR FOR SELECT 1", "SELECT pg_is_in_recovery()",
        "INSERT INTO t VALUES (1)", "SELECT 1 FROM t FOR UPDATE", "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SELECT 1; COMMIT", "SELECT nextval('s')", "SELECT pg_advisory_unlock(1)", "EXPLAIN UPDATE t SET a = 1", ""}) {
    EXPECT_TRUE(classify(text).fits_read_only) << text;
  }
  for (const char* text :
       {"SELECT pg_advisory_lock(1)", "SELECT pg_try_advisory_xact_lock(1)", "LISTEN a", "NOTIFY a",
        "SELECT 1 WHERE EXISTS (SELECT pg_advisory_xact_lock(1))", "LOCK TABLE t", "DO 'x'", "CALL p()",
        "DECLARE c CURSOR FOR SELECT pg_advisory_xact_lock(1)", "SELECT txid_current()", "SELEKT",
        "SELECT 1; SELECT pg_advisory_xact_lock(1)", "EXPLAIN ANALYZE SELECT pg_advisory_lock(1)",
        "PREPARE p AS SELECT 1", "EXECUTE p", "SAVEPOINT a; SELECT pg_notify('a', 'b')"}) {
    EXPECT_FALSE(classify(text).fits_read_only) << text;
  }
  EXPECT_TRUE(classify("SHOW a").shows);
  EXPECT_FALSE(classify("SHOW a; LISTEN b").shows);
  EXPECT_TRUE(classify("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").one_snapshot);
  EXPECT_FALSE(classify("BEGIN READ ONLY").one_snapshot);
}

TEST(Classify, NamesWhatMustBeLookedUp) {
  const Verdict verdict = classify("WITH c AS (SELECT f(a) FROM s.t) SELECT g.h(b) FROM c, u WHERE a @> b");
  EXPECT_TRUE(verdict.read);
  EXPECT_EQ(verdict.functions, (std::vector<std::string>{"f", "g.h"}));
  EXPECT_EQ(verdict.relations, (std::vector<std::string>{"s.t", "u"}));
  EXPECT_EQ(verdict.operators, (std::vector<std::string>{"@>"}));
}

TEST(Classify, DdlIsSeenAsAChangeOfTheCatalogue) {
  EXPECT_TRUE(classify("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'").changes_catalog);
  EXPECT_TRUE(classify("ALTER TABLE t ADD x int").changes_catalog);
  EXPECT_TRUE(classify("DROP VIEW v").changes_catalog);
  EXPECT_FALSE(classify("INSERT INTO t VALUES (1)").changes_catalog);
  EXPECT_FALSE(classify("SELECT 1").changes_catalog);
  EXPECT_FALSE(classify("CREATE TEMP TABLE x (a int)").changes_catalog);
}

TEST(Classify, TextsThatAreTooLongOrOddGoToThePrimary) {
  const Verdict longest = classify("SELECT '" + std::string(kMaxText, 'x') + "'");
  EXPECT_FALSE(longest.read);
  EXPECT_FALSE(longest.parsed);
  EXPECT_EQ(longest.effects.size(), 1u);
  EXPECT_FALSE(classify(std::string_view("SELECT 1\0; DELETE FROM t", 24)).read);
}

// As deep as a text of the greatest length can be, on a stack of the size that is promised to do.
TEST(Classify, TheDeepestTextsNeedNoMoreThanTheStackThatIsAskedFor) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's frames are larger than those of the program that is shipped";
#endif
  pthread_attr_t how;
  ASSERT_EQ(pthread_attr_init(&how), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&how, kClassifyStack), 0);
  const auto body = [](void*) -> void* {
    for (const char* piece : {"- ", "NOT ", "(", "ARRAY[", "(SELECT ", "a.", "CASE WHEN ", "1+", "~ "}) {
      std::string text = "SELECT ";
      while (text.size() + 20 < kMaxText) text += piece;
      classify(text + "1");
      std::string closed = "SELECT ";
      const std::string open = piece;
      const char* shut = open == "(" || open == "(SELECT " ? ")" : open == "ARRAY[" ? "]" : "";
      const size_t times = (kMaxText - 100) / (open.size() + 1);
      for (size_t i = 0; i < times; ++i) closed += open;
      closed += "1";
      for (size_t i = 0; i < times; ++i) closed += shut;
      classify(closed);
    }
    return nullptr;
  };
  pthread_t thread = {};
  ASSERT_EQ(pthread_create(&thread, &how, body, nullptr), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&how);
}

TEST(Classify, SeveralThreadsMayAskAtOnce) {
  const Verdict expected = classify("SELECT a, f(b) FROM t WHERE c = 5");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 200; ++n) EXPECT_EQ(classify("SELECT a, f(b) FROM t WHERE c = 5"), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Normalize, TakesOutLiteralsAndNothingElse) {
  std::string key;
  EXPECT_TRUE(normalize("SELECT a1, $1 FROM t2 WHERE x = 12 AND y = 'it''s' AND z=-3.5", key));
  EXPECT_EQ(key, "SELECT a1, $1 FROM t2 WHERE x = ? AND y = ? AND z=-?.?");
  EXPECT_TRUE(normalize("select \"5\" from t", key));
  EXPECT_EQ(key, "select \"5\" from t");
  for (const char* odd : {"SELECT E'\\''", "SELECT U&'x'", "SELECT B'1'", "SELECT $$x$$", "SELECT $a$x$a$", "SET x = 5",
                          "SELECT 'open", "SELECT \"open", "SELECT 'a\\'"}) {
    EXPECT_FALSE(normalize(odd, key)) << odd;
    EXPECT_EQ(key, odd);
  }
}

TEST(Classify, WhatSurelyWritesIsMarked) {
  for (const char* text : {"INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t", "TRUNCATE t",
                           "COPY t FROM STDIN", "SELECT 1; DELETE FROM t"}) {
    EXPECT_TRUE(classify(text).writes) << text;
  }
  for (const char* text : {"SELECT 1", "SELECT f()", "BEGIN", "SET a = 1", "FETCH ALL FROM c", "COPY t TO STDOUT",
                           "PREPARE p AS INSERT INTO t VALUES (1)", "EXPLAIN SELECT 1"}) {
    EXPECT_FALSE(classify(text).writes) << text;
  }
}

}  // namespace
}  // namespace pgb::sql
