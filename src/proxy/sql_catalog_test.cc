// What a real server says of its names: the query of sql/catalog.h, and the decisions made by its answer.
#include <gtest/gtest.h>

#include <algorithm>

#include "proxy/postgres_for_tests.h"
#include "sql/classify.h"
#include "sql/decision.h"

namespace pgb::proxy {
namespace {

class SqlCatalog : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto made = Postgres::create();
    ASSERT_TRUE(made) << made.error().message;
    server_ = std::move(*made);
    const Status made_objects = server_->sql(kObjects);
    ASSERT_TRUE(made_objects) << made_objects.error().message;
    catalog_ = ask();
  }
  static void TearDownTestSuite() { server_.reset(); }

  static sql::CatalogPtr ask() {
    const Deadline deadline = Deadline::after(std::chrono::seconds(20));
    auto connection = server_->admin(deadline);
    if (!connection) return nullptr;
    auto results = (*connection)->query(sql::Catalog::query(), deadline);
    EXPECT_TRUE(results) << results.error().message;
    return results && !results->empty() ? sql::Catalog::from_rows(results->front().rows, 1) : nullptr;
  }

  static bool to_replica(const std::string& text) {
    const sql::Decision decision = sql::decide(sql::classify(text), catalog_.get());
    reason_ = decision.reason;
    return decision.replica;
  }

  static constexpr const char* kObjects = R"(
    CREATE TABLE plain (a int, b text);
    CREATE UNLOGGED TABLE unlogged (a int);
    CREATE TABLE ruled (a int);
    CREATE SEQUENCE seq;
    CREATE RULE r AS ON INSERT TO ruled DO ALSO SELECT nextval('seq');
    CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE FUNCTION hides(float4) RETURNS float4 LANGUAGE c AS '$libdir/pg_trgm', 'set_limit';
    CREATE FUNCTION shows() RETURNS float4 LANGUAGE c STABLE AS '$libdir/pg_trgm', 'show_limit';
    CREATE EXTENSION "uuid-ossp";
    CREATE FUNCTION reads() RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN 1; END';
    CREATE FUNCTION step(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE AGGREGATE volatile_sum (int) (SFUNC = step, STYPE = int);
    CREATE AGGREGATE stable_sum (int) (SFUNC = int4pl, STYPE = int);
    CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
    CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = same);
    CREATE FUNCTION full_name(plain) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE FUNCTION stable_name(plain) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN 1; END';
    CREATE FUNCTION is_fine(text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
    CREATE DOMAIN checked AS text CHECK (is_fine(VALUE));
    CREATE DOMAIN checked_twice AS checked;
    CREATE DOMAIN unchecked AS text CHECK (length(VALUE) > 0);
    CREATE TYPE pair AS (x int, y int);
    CREATE FUNCTION to_pair(text) RETURNS pair LANGUAGE plpgsql AS 'BEGIN RETURN (1, 2); END';
    CREATE CAST (text AS pair) WITH FUNCTION to_pair(text);
    CREATE VIEW good_view AS SELECT a, reads() AS r, random() AS n, now() FROM plain;
    CREATE VIEW view_of_sequence AS SELECT nextval('seq');
    CREATE VIEW view_of_volatile AS SELECT writes();
    CREATE VIEW view_of_operator AS SELECT 1 === 2 AS x;
    CREATE VIEW view_of_aggregate AS SELECT volatile_sum(a) FROM plain;
    CREATE VIEW view_of_window AS SELECT volatile_sum(a) OVER () FROM plain;
    CREATE VIEW view_of_recovery AS SELECT pg_is_in_recovery();
    CREATE VIEW view_of_backend AS SELECT pg_backend_pid();
    CREATE VIEW view_of_activity AS SELECT * FROM pg_stat_activity;
    CREATE VIEW view_of_unlogged AS SELECT * FROM unlogged;
    CREATE VIEW view_of_view AS SELECT * FROM (SELECT * FROM view_of_sequence) s;
    CREATE VIEW view_of_lock AS SELECT pg_try_advisory_lock(1);
    CREATE VIEW view_of_text AS SELECT query_to_xml('SELECT 1', true, true, '');
    CREATE MATERIALIZED VIEW stored AS SELECT writes(), a FROM plain;
    CREATE TABLE parted (a int) PARTITION BY LIST (a);
    CREATE UNLOGGED TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
    CREATE TABLE parted_well (a int) PARTITION BY LIST (a);
    CREATE TABLE parted_well_1 PARTITION OF parted_well FOR VALUES IN (1);
    CREATE TABLE guarded (a int);
    CREATE POLICY p ON guarded USING (writes() = a);
    CREATE TABLE guarded_well (a int);
    CREATE POLICY p ON guarded_well USING (current_user = 'x' AND reads() = a);
    CREATE TABLE guarded_by_builtin (a int);
    CREATE POLICY p ON guarded_by_builtin USING (txid_current() > a);
    CREATE FOREIGN DATA WRAPPER wrapper;
    CREATE SERVER far FOREIGN DATA WRAPPER wrapper;
    CREATE FOREIGN TABLE foreign_one (a int) SERVER far;
    CREATE SCHEMA other;
    CREATE FUNCTION other.abs(text) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE TABLE other.only_there (a int);
    CREATE PROCEDURE proc() LANGUAGE plpgsql AS 'BEGIN END';)";

  static std::unique_ptr<Postgres> server_;
  static sql::CatalogPtr catalog_;
  static std::string reason_;
};

std::unique_ptr<Postgres> SqlCatalog::server_;
sql::CatalogPtr SqlCatalog::catalog_;
std::string SqlCatalog::reason_;

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
  EXPECT_FALSE(catalog_->writes_may_set());
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
  EXPECT_FALSE(fresh->writes_may_set());
}

TEST_F(SqlCatalog, TriggersAndDefaultsThatSetParametersAreFound) {
  const auto may_set_after = [](const std::string& sql) {
    const Status done = server_->sql(sql);
    EXPECT_TRUE(done.ok()) << done.error().message;
    return ask()->writes_may_set();
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
