#include "sql/decision.h"

#include <gtest/gtest.h>

#include "sql/classify.h"

namespace pgb::sql {
namespace {

using Rows = std::vector<std::vector<std::optional<std::string>>>;

Rows usual() {
  return {{"f", "pg_catalog", "abs"},
          {"f", "pg_catalog", "count"},
          {"v", "pg_catalog", "random"},
          {"v", "pg_catalog", "pg_sleep"},
          {"v", "pg_catalog", "setseed"},
          {"f", "public", "stable_one"},
          {"v", "public", "volatile_one"},
          {"f", "a", "twice"},
          {"v", "b", "twice"},
          {"v", "public", "uuidv4"},
          {"o", "", "==="},
          {"k", "public", "t"},
          {"k", "public", "unlogged_one"},
          {"r", "public", "unlogged_one"},
          {"k", "a", "two"},
          {"k", "b", "two"},
          {"r", "b", "two"},
          {"k", "public", "acting_view"},
          {"r", "public", "acting_view"},
          {"q", "public", "acting_view"},
          {"k", "public", "triggered"},
          {"w", "public", "triggered"},
          {"k", "public", "asking"},
          {"s", "public", "asking"},
          {"t", "public", "odd_type"},
          {"a", "", "row_function"}};
}

bool to_replica(const char* text) {
  const auto catalog = Catalog::from_rows(usual(), 1);
  const Decision decision = decide(classify(text), catalog.get());
  EXPECT_FALSE(decision.reason.empty()) << text;
  return decision.replica;
}

TEST(Decision, ReadsOfWhatIsKnownAndHarmlessGoToAReplica) {
  for (const char* text :
       {"SELECT 1", "SELECT abs(-1)", "SELECT count(*) FROM t WHERE a = 1", "SELECT * FROM public.t",
        "SELECT stable_one(1), public.stable_one(2)", "SELECT random(), pg_catalog.random()", "SELECT pg_sleep(1)",
        "SELECT a.twice(1)", "SELECT * FROM a.two", "SELECT t.a FROM t", "BEGIN READ ONLY"}) {
    EXPECT_TRUE(to_replica(text)) << text;
  }
}

TEST(Decision, AnUnreadCatalogueKnowsNothingButNewFunctionsInC) {
  const auto catalog = Catalog::unread(nullptr, {"keeps", "s.holds"}, 1);
  for (const char* text : {"SELECT abs(-1)", "SELECT a FROM t", "SELECT 1 + 1", "SELECT keeps()"}) {
    EXPECT_FALSE(decide(classify(text), catalog.get()).replica) << text;
  }
  for (const char* text : {"SELECT keeps()", "SELECT public.keeps()", "SELECT s.holds()", "SELECT holds()"}) {
    EXPECT_TRUE(decide(classify(text), catalog.get()).keeps_state) << text;
  }
  EXPECT_FALSE(decide(classify("SELECT abs(-1), mine()"), catalog.get()).keeps_state);
}

TEST(Decision, WhatIsVolatileOrNotKnownGoesToThePrimary) {
  for (const char* text : {"SELECT volatile_one()",
                           "SELECT public.volatile_one()",
                           "SELECT unknown_one()",
                           "SELECT other.abs(1)",
                           "SELECT twice(1)",
                           "SELECT b.twice(1)",
                           "SELECT setseed(1)",
                           "SELECT public.uuidv4()",
                           "SELECT a === b FROM t",
                           "SELECT 1 OPERATOR(x.===) 2",
                           "SELECT * FROM unlogged_one",
                           "SELECT * FROM public.unlogged_one",
                           "SELECT * FROM unknown",
                           "SELECT * FROM two",
                           "SELECT * FROM b.two",
                           "SELECT 1::odd_type",
                           "SELECT CAST('x' AS public.odd_type)",
                           "SELECT odd_type 'x'",
                           "SELECT t.row_function FROM t",
                           "SELECT (t).row_function FROM t",
                           "SELECT * FROM t TABLESAMPLE volatile_one(1)",
                           "SELECT 1 WHERE 2 IN (SELECT volatile_one())",
                           "INSERT INTO t VALUES (1)"}) {
    EXPECT_FALSE(to_replica(text)) << text;
  }
}

TEST(Decision, WithoutACatalogueOnlyWhatNamesNothingGoesToAReplica) {
  EXPECT_TRUE(decide(classify("SELECT 1"), nullptr).replica);
  EXPECT_TRUE(decide(classify("BEGIN READ ONLY"), nullptr).replica);
  for (const char* text : {"SELECT 1 + 1", "SELECT abs(1)", "SELECT * FROM t", "SELECT 1::int", "SELECT (a).b"}) {
    const Decision decision = decide(classify(text), nullptr);
    EXPECT_FALSE(decision.replica) << text;
    EXPECT_NE(decision.reason.find("not known yet"), std::string::npos);
  }
}

TEST(Decision, AHintVouchesForNamesButNotForWrites) {
  EXPECT_TRUE(to_replica("/* pgbalancer: replica */ SELECT volatile_one()"));
  EXPECT_TRUE(to_replica("/* pgbalancer: replica */ SELECT pg_is_in_recovery()"));
  EXPECT_TRUE(to_replica("/* pgbalancer: replica */ SELECT * FROM unknown"));
  EXPECT_FALSE(to_replica("/* pgbalancer: replica */ INSERT INTO t VALUES (1)"));
  EXPECT_FALSE(to_replica("/* pgbalancer: replica */ SELECT nextval('s')"));
  EXPECT_FALSE(to_replica("/* pgbalancer: primary */ SELECT 1"));
}

TEST(Decision, WhereverAStatementGoesItsFunctionsMayChangeTheSession) {
  const auto catalog = Catalog::from_rows(usual(), 1);
  for (const char* text : {"SELECT volatile_one()", "/* pgbalancer: primary */ SELECT volatile_one()",
                           "/* pgbalancer: replica */ SELECT volatile_one()", "INSERT INTO t SELECT volatile_one()",
                           "SELECT volatile_one() FROM t FOR UPDATE", "UPDATE t SET a = volatile_one()",
                           "SELECT current_setting('port'), volatile_one()",
                           "INSERT INTO t VALUES (public.nextval('x'))", "SELECT nextval('s'), volatile_one()"}) {
    EXPECT_TRUE(decide(classify(text), catalog.get()).may_do_anything) << text;
  }
  for (const char* text : {"SELECT abs(1)", "INSERT INTO t VALUES (nextval('s'), gen_random_uuid())",
                           "UPDATE t SET a = abs(a)", "SELECT pg_catalog.nextval('s')", "INSERT INTO t VALUES (1)"}) {
    EXPECT_FALSE(decide(classify(text), catalog.get()).may_do_anything) << text;
  }
}

TEST(Decision, WhatStandsBehindANameMayChangeTheSessionToo) {
  const auto catalog = Catalog::from_rows(usual(), 1);
  for (const char* text :
       {"SELECT * FROM acting_view", "INSERT INTO t SELECT * FROM public.acting_view", "SELECT 1 === 2",
        "UPDATE t SET a = 1 WHERE b === 2", "SELECT 1::odd_type", "INSERT INTO t VALUES (1::odd_type)",
        "SELECT t.row_function FROM t", "DELETE FROM t WHERE t.row_function = 1",
        "/* pgbalancer: primary */ SELECT * FROM acting_view", "CREATE TABLE x AS SELECT * FROM acting_view",
        "DECLARE c CURSOR FOR SELECT * FROM acting_view", "SELECT * FROM acting_view FOR UPDATE"}) {
    const Decision decision = decide(classify(text), catalog.get());
    EXPECT_TRUE(decision.may_do_anything) << text;
    EXPECT_FALSE(decision.replica) << text;
  }
  for (const char* text : {"SELECT * FROM t", "SELECT * FROM unlogged_one", "INSERT INTO t SELECT * FROM unlogged_one",
                           "SELECT t.a FROM t WHERE a = 1::int", "INSERT INTO triggered VALUES (1)"}) {
    EXPECT_FALSE(decide(classify(text), catalog.get()).may_do_anything) << text;
  }
}

TEST(Decision, WhatFiresIfSomethingIsWrittenMayChangeTheSession) {
  const auto catalog = Catalog::from_rows(usual(), 1);
  for (const char* text : {"INSERT INTO triggered VALUES (1)", "WITH x AS (DELETE FROM public.triggered) SELECT 1",
                           "COPY triggered FROM STDIN", "TRUNCATE triggered", "ALTER TABLE triggered ADD b int"}) {
    EXPECT_TRUE(decide(classify(text), catalog.get()).may_leave) << text;
  }
  Rows rows = usual();
  rows.push_back({"e", "", ""});
  const auto with_event_trigger = Catalog::from_rows(rows, 2);
  for (const char* text : {"INSERT INTO t VALUES (1)", "SELECT * FROM triggered", "CREATE TABLE x (a int)", "BEGIN"}) {
    EXPECT_FALSE(decide(classify(text), catalog.get()).may_leave) << text;
    const bool ddl = std::string_view(text).substr(0, 6) == "CREATE";
    EXPECT_EQ(decide(classify(text), with_event_trigger.get()).may_leave, ddl) << text;
  }
}

TEST(Decision, NoTextSaysWhoAsksForTheNumberOfASequence) {
  const auto catalog = Catalog::from_rows(usual(), 1);
  for (const char* text : {"INSERT INTO asking VALUES (1)", "DO $$ BEGIN PERFORM lastval(); END $$", "CALL p()"}) {
    EXPECT_TRUE(decide(classify(text), catalog.get()).asks_number) << text;
  }
  for (const char* text : {"INSERT INTO t VALUES (1)", "SELECT * FROM asking", "SELECT 1", "BEGIN"}) {
    EXPECT_FALSE(decide(classify(text), catalog.get()).asks_number) << text;
  }
  EXPECT_TRUE(decide(classify("SELECT 1"), catalog.get()).numbers_asked);
}

TEST(Decision, WhatAProcessKeepsIsKnownByItsName) {
  for (const char* text : {"SELECT setseed(0.5)", "SELECT public.dblink_connect('a', 'b')",
                           "SELECT pg_replication_origin_session_setup('o')",
                           "SELECT pg_create_physical_replication_slot('s', true, true)"}) {
    EXPECT_TRUE(decide(classify(text), nullptr).keeps_state) << text;
  }
  EXPECT_FALSE(decide(classify("SELECT nextval('s'), abs(1)"), nullptr).keeps_state);
}

TEST(Decision, UntilTheCatalogueIsReadAgainWhatIsNewMayDoAnything) {
  const auto again = Catalog::unread(Catalog::from_rows(usual(), 1), {}, 2);
  for (const char* text : {"SELECT * FROM made_since", "SELECT * FROM acting_view", "SELECT 1 === 2",
                           "SELECT t.row_function FROM t", "SELECT 1::odd_type"}) {
    EXPECT_TRUE(decide(classify(text), again.get()).may_do_anything) << text;
  }
  for (const char* text : {"SELECT * FROM t", "SELECT * FROM pg_catalog.pg_class", "SELECT 1 + 1", "SELECT 1"}) {
    EXPECT_FALSE(decide(classify(text), again.get()).may_do_anything) << text;
  }
  EXPECT_TRUE(decide(classify("INSERT INTO t VALUES (1)"), again.get()).may_leave);
  const auto never = Catalog::unread(nullptr, {}, 3);
  EXPECT_TRUE(decide(classify("SELECT * FROM t"), never.get()).may_do_anything);
  EXPECT_FALSE(decide(classify("SELECT 1"), never.get()).may_do_anything);
}

TEST(Decision, WhereAnImplicitCastIsVolatileNothingIsSafe) {
  Rows rows = usual();
  rows.push_back({"i", "public", "money2"});
  const auto catalog = Catalog::from_rows(rows, 1);
  EXPECT_FALSE(decide(classify("SELECT * FROM t"), catalog.get()).replica);
  EXPECT_TRUE(decide(classify("SELECT 1"), catalog.get()).replica);
}

TEST(Decision, AVolatileMinusIsFoundWhereTheGrammarHidesIt) {
  Rows rows = usual();
  rows.push_back({"o", "", "-"});
  const auto catalog = Catalog::from_rows(rows, 1);
  for (const char* text :
       {"SELECT a - b FROM t", "SELECT - 1 FROM t", "SELECT - 'x' FROM t", "SELECT -(1, 2) FROM t"}) {
    EXPECT_FALSE(decide(classify(text), catalog.get()).replica) << text;
    EXPECT_TRUE(to_replica(text)) << text;
  }
}

TEST(Catalog, RowsThatAreCutShortAreLeftOut) {
  const auto catalog =
      Catalog::from_rows({{"f", "a"}, {std::nullopt, "a", "b"}, {"f", "a", std::nullopt}, {"", "a", "c"}}, 7);
  EXPECT_FALSE(catalog->function_is_safe("b"));
  EXPECT_FALSE(catalog->function_is_safe("c"));
  EXPECT_EQ(catalog->version(), 7u);
}

}  // namespace
}  // namespace pgb::sql
