// What a real server says of its names: the query of sql/catalog.h, and the decisions made by its answer.
#include <gtest/gtest.h>

#include <algorithm>

#include "proxy/sql_catalog_for_tests.h"

namespace pgb::proxy {
namespace {

TEST_F(SqlCatalog, WhatIsTheSameEverywhereGoesToAReplica) {
  ASSERT_TRUE(catalog_);
  for (const char* text :
       {"SELECT * FROM plain WHERE a = 1 AND b LIKE 'x%' ORDER BY a",
        "SELECT count(*), max(a), string_agg(b, ',') FROM plain",
        "SELECT reads(), public.reads()",
        "SELECT stable_sum(a) FROM plain",
        "SELECT * FROM good_view",
        "SELECT * FROM stored",
        "SELECT * FROM parted_well",
        "SELECT * FROM guarded_well",
        "SELECT * FROM ruled",
        "SELECT * FROM other.only_there",
        "SELECT * FROM only_there",
        "SELECT b::unchecked FROM plain",
        "SELECT now(), current_user, version()",
        "SELECT random(), clock_timestamp(), gen_random_uuid(), pg_sleep(0)",
        "SELECT pg_catalog.ceil(-1)::numeric(10, 2)::text",
        "SELECT * FROM pg_class",
        "SELECT * FROM pg_catalog.pg_tables",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM pg_stats",
        "SELECT p.a, p.stable_name FROM plain p",
        "SELECT substring(b FROM 1 FOR 2), position('x' IN b), extract(year FROM now()) FROM plain",
        "SELECT * FROM generate_series(1, 3) g, unnest(ARRAY[1]) u",
        "SELECT rank() OVER (ORDER BY a) FROM plain",
        "SELECT b SIMILAR TO 'x', now() AT TIME ZONE 'UTC', json_build_object('a', 1) -> 'a' FROM plain",
        "SELECT has_table_privilege('plain', 'select'), pg_get_viewdef('good_view'::regclass)",
        "SELECT current_setting('app.tenant', true)",
        "SELECT * FROM plain TABLESAMPLE system (10)"}) {
    EXPECT_TRUE(to_replica(text)) << text << ": " << reason_;
  }
}

TEST_F(SqlCatalog, WhatMayDifferOrWriteGoesToThePrimary) {
  ASSERT_TRUE(catalog_);
  for (const char* text : {"SELECT writes()",
                           "SELECT public.writes()",
                           "SELECT * FROM unlogged",
                           "SELECT * FROM seq",
                           "SELECT * FROM parted",
                           "SELECT * FROM parted_1",
                           "SELECT * FROM guarded",
                           "SELECT * FROM guarded_by_builtin",
                           "SELECT * FROM foreign_one",
                           "SELECT * FROM view_of_sequence",
                           "SELECT * FROM view_of_volatile",
                           "SELECT * FROM view_of_operator",
                           "SELECT * FROM view_of_aggregate",
                           "SELECT * FROM view_of_window",
                           "SELECT * FROM view_of_recovery",
                           "SELECT * FROM view_of_backend",
                           "SELECT * FROM view_of_activity",
                           "SELECT * FROM view_of_unlogged",
                           "SELECT * FROM view_of_view",
                           "SELECT * FROM public.view_of_view",
                           "SELECT * FROM view_of_lock",
                           "SELECT * FROM view_of_text",
                           "SELECT 1 === 2",
                           "SELECT volatile_sum(a) FROM plain",
                           "SELECT volatile_sum(a) OVER () FROM plain",
                           "SELECT p.full_name FROM plain p",
                           "SELECT (p).full_name FROM plain p",
                           "SELECT b::checked FROM plain",
                           "SELECT b::checked_twice FROM plain",
                           "SELECT CAST(b AS pair) FROM plain",
                           "SELECT abs('x')",
                           "SELECT other.abs('x')",
                           "SELECT * FROM no_such_table",
                           "SELECT no_such_function()",
                           "SELECT proc()",
                           "SELECT setseed(0)",
                           "SELECT pg_total_relation_size('plain')"}) {
    EXPECT_FALSE(to_replica(text)) << text;
  }
}

TEST_F(SqlCatalog, EveryVolatileFunctionOfPostgresqlIsHarmlessByNameOrForThePrimary) {
  auto connection = server_->admin(Deadline::after(std::chrono::seconds(10)));
  ASSERT_TRUE(connection);
  auto found = (*connection)
                   ->query(
                       "SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v' AND pronamespace = "
                       "'pg_catalog'::regnamespace AND "
                       "proname NOT IN ('random', 'random_normal', 'clock_timestamp', 'timeofday', 'gen_random_uuid', "
                       "'uuidv4', 'uuidv7', "
                       "'pg_sleep', 'pg_sleep_for', 'pg_sleep_until', 'pg_partition_tree', 'pg_partition_ancestors')",
                       Deadline::after(std::chrono::seconds(10)));
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_GT(found->front().rows.size(), 100u);
  for (const auto& row : found->front().rows) {
    EXPECT_FALSE(to_replica("SELECT \"" + *row[0] + "\"(1)")) << *row[0];
  }
}

TEST_F(SqlCatalog, FunctionsInCMayKeepStateUnlessAnExtensionAnswersForThem) {
  const auto keeps = [](const std::string& text) {
    return sql::decide(sql::classify(text), catalog_.get()).keeps_state;
  };
  EXPECT_TRUE(keeps("SELECT hides(0.5)"));
  EXPECT_TRUE(keeps("SELECT public.hides(0.5)"));
  EXPECT_FALSE(keeps("SELECT shows()"));
  EXPECT_FALSE(keeps("SELECT uuid_generate_v4()"));
  EXPECT_FALSE(keeps("SELECT writes(), pg_backend_pid()"));
}

TEST_F(SqlCatalog, TriggersInCMayKeepStateWhereWhatTheyStandOnIsWritten) {
  const Status made = server_->sql(
      "CREATE EXTENSION refint; CREATE EXTENSION moddatetime; CREATE SCHEMA kept;"
      "CREATE TABLE kept.top (a int PRIMARY KEY); CREATE TABLE kept.of_top (a int REFERENCES kept.top ON DELETE "
      "CASCADE);"
      "CREATE TABLE kept.dated (a timestamp); CREATE VIEW kept.seen AS SELECT * FROM kept.top;"
      "CREATE TRIGGER t AFTER INSERT ON kept.of_top FOR EACH ROW EXECUTE FUNCTION check_primary_key('a', 'x', 'a');"
      "CREATE TRIGGER t BEFORE UPDATE ON kept.dated FOR EACH ROW EXECUTE FUNCTION moddatetime('a');");
  ASSERT_TRUE(made.ok()) << made.error().message;
  const auto fresh = ask();
  const auto keeps = [&](const std::string& text) { return sql::decide(sql::classify(text), fresh.get()).keeps_state; };
  for (const char* text :
       {"INSERT INTO of_top VALUES (1)", "UPDATE kept.of_top SET a = 1", "COPY kept.of_top FROM STDIN",
        "TRUNCATE kept.of_top", "DELETE FROM kept.top", "DELETE FROM kept.seen",
        "MERGE INTO kept.of_top USING plain p ON p.a = 1 WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM kept.of_top RETURNING a) SELECT * FROM gone",
        "EXPLAIN ANALYZE INSERT INTO kept.of_top VALUES (1)", "SELECT 1; DELETE FROM kept.of_top",
        "CREATE TRIGGER u AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION public.check_primary_key('a', 'x', "
        "'a')"}) {
    EXPECT_TRUE(keeps(text)) << text;
  }
  for (const char* text : {"SELECT * FROM kept.of_top", "UPDATE kept.dated SET a = now()",
                           "INSERT INTO plain VALUES (1)", "COPY kept.of_top TO STDOUT"}) {
    EXPECT_FALSE(keeps(text)) << text;
  }
  ASSERT_TRUE(server_->sql("DROP SCHEMA kept CASCADE"));
}

TEST_F(SqlCatalog, FunctionsThatSetParametersAreKnownByWhatTheyAreMadeOf) {
  const auto sets_any = [](const sql::CatalogPtr& catalog, const std::string& text) {
    return sql::decide(sql::classify(text), catalog.get()).sets_any;
  };
  EXPECT_TRUE(catalog_->custom_parameters().empty());
  const Status made = server_->sql(
      "CREATE FUNCTION named() RETURNS text LANGUAGE sql AS $$ SELECT set_config('shop.tenant', 'x', false) $$;"
      "CREATE FUNCTION in_words() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET shop.region = 'x'; END $$;"
      "CREATE FUNCTION any_name(n text) RETURNS text LANGUAGE plpgsql AS "
      "$$ BEGIN RETURN set_config (n, 'x', false); END $$;"
      "CREATE FUNCTION made_up(n text) RETURNS text LANGUAGE plpgsql AS "
      "$$ BEGIN RETURN set_config('shop.' || n, 'x', false); END $$;"
      "CREATE FUNCTION runs(n text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SET ' || n || ' = 1'; END $$;"
      "CREATE FUNCTION updates() RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE plain SET a = 1; END $$;");
  ASSERT_TRUE(made.ok()) << made.error().message;
  const auto fresh = ask();
  std::vector<std::string> names = fresh->custom_parameters();
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"shop.region", "shop.tenant"}));
  for (const char* text : {"SELECT any_name('x')", "SELECT public.made_up('x')", "SELECT runs('x')"}) {
    EXPECT_TRUE(sets_any(fresh, text)) << text;
  }
  for (const char* text : {"SELECT named()", "SELECT in_words()", "SELECT updates()", "SELECT writes()"}) {
    EXPECT_FALSE(sets_any(fresh, text)) << text;
  }
}

TEST_F(SqlCatalog, TriggersAndDefaultsThatSetParametersAreFound) {
  const auto may_set_after = [](const std::string& sql) {
    const Status done = server_->sql(sql);
    EXPECT_TRUE(done.ok()) << done.error().message;
    const auto fresh = ask();
    EXPECT_FALSE(fresh->write_may_leave("plain"));
    return fresh->write_may_leave("watched");
  };
  EXPECT_FALSE(
      may_set_after("CREATE TABLE watched (a int);"
                    "CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;"
                    "CREATE TRIGGER t BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION quiet()"));
  EXPECT_TRUE(
      may_set_after("CREATE OR REPLACE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    "PERFORM set_config('work_mem', '1MB', false); RETURN NEW; END $$"));
  EXPECT_TRUE(
      may_set_after("CREATE FUNCTION deeper() RETURNS text LANGUAGE sql AS "
                    "$$ SELECT set_config('work_mem', '1MB', false) $$;"
                    "CREATE OR REPLACE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    "PERFORM deeper(); RETURN NEW; END $$"));
  EXPECT_FALSE(may_set_after("DROP TABLE watched"));
  EXPECT_TRUE(may_set_after("CREATE TABLE watched (a int, b text DEFAULT set_config('work_mem', '1MB', false))"));
  EXPECT_FALSE(may_set_after("DROP TABLE watched; DROP FUNCTION quiet(), deeper()"));
}

TEST_F(SqlCatalog, AFreshDatabaseHasNothingThatMakesAllReadsUnsafe) {
  ASSERT_TRUE(catalog_);
  EXPECT_EQ(catalog_->volatile_implicit_cast(), "");
  for (const char* type : {"text", "int4", "regclass", "timestamptz", "jsonb", "numeric"}) {
    EXPECT_TRUE(catalog_->type_is_safe(type)) << type;
  }
}

}  // namespace
}  // namespace pgb::proxy
