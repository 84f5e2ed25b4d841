// What a real server says of what stands behind its names, and fires when a table is written.
#include <gtest/gtest.h>

#include "proxy/sql_catalog_for_tests.h"

namespace pgb::proxy {
namespace {

TEST_F(SqlCatalog, WhateverFiresWhereATableIsWrittenIsFound) {
  const Status made = server_->sql(R"(
    CREATE SCHEMA fires; SET search_path = fires, public;
    CREATE FUNCTION leaves() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(1); RETURN true; END $$;
    CREATE FUNCTION calls(int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN "leaves" (); END $$;
    CREATE FUNCTION mentions(int) RETURNS bool LANGUAGE plpgsql AS
      $$ DECLARE leaves int; BEGIN leaves := 1; RETURN true; END $$;
    CREATE DOMAIN tested AS int CHECK (calls(VALUE));
    CREATE TABLE in_check (a int CHECK (calls(a)));
    CREATE TABLE in_lock (a bool DEFAULT pg_try_advisory_lock(1));
    CREATE TABLE in_domain (a tested);
    CREATE TABLE in_array (a tested[]);
    CREATE TABLE in_rule (a int); CREATE RULE r AS ON INSERT TO in_rule DO ALSO SELECT leaves();
    CREATE TABLE by_rule (a int); CREATE RULE r AS ON DELETE TO by_rule DO ALSO INSERT INTO in_check VALUES (1);
    CREATE VIEW by_view AS SELECT * FROM in_check;
    CREATE TABLE parted (a int) PARTITION BY LIST (a);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
    CREATE FUNCTION temp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE x (a int); RETURN NEW; END $$;
    CREATE TRIGGER t BEFORE INSERT ON parted_1 FOR EACH ROW EXECUTE FUNCTION temp();
    CREATE FUNCTION hears() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'LISTEN ' || 'x'; RETURN NEW; END $$;
    CREATE TABLE in_listen (a int);
    CREATE TRIGGER t BEFORE INSERT ON in_listen FOR EACH ROW EXECUTE FUNCTION hears();
    CREATE FUNCTION writes_on() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO fires."in_listen" VALUES (1); RETURN NEW; END $$;
    CREATE TABLE by_trigger (a int);
    CREATE TRIGGER t BEFORE INSERT ON by_trigger FOR EACH ROW EXECUTE FUNCTION writes_on();
    CREATE TABLE quiet (a int CHECK (mentions(a)), b int DEFAULT random(), c timestamp DEFAULT now(), d serial);
    CREATE VIEW quiet_view AS SELECT * FROM quiet;)");
  ASSERT_TRUE(made.ok()) << made.error().message;
  const auto fresh = ask();
  for (const char* name : {"in_check", "in_lock", "in_domain", "in_array", "in_rule", "by_rule", "by_view",
                           "fires.parted", "parted_1", "in_listen", "by_trigger"}) {
    EXPECT_TRUE(fresh->write_may_leave(name)) << name;
  }
  for (const char* name : {"quiet", "quiet_view", "plain", "ruled", "guarded"}) {
    EXPECT_FALSE(fresh->write_may_leave(name)) << name;
  }
  EXPECT_FALSE(fresh->ddl_may_leave());
  ASSERT_TRUE(server_->sql(
      "CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN SET work_mem = '1MB'; END $$;"
      "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION on_ddl()"));
  EXPECT_TRUE(ask()->ddl_may_leave());
  ASSERT_TRUE(server_->sql("DROP EVENT TRIGGER e; DROP FUNCTION on_ddl(); DROP SCHEMA fires CASCADE"));
}

TEST_F(SqlCatalog, WhatReadsByViewsOperatorsAndTheLikeMayWrite) {
  const auto may_do_anything = [&](const std::string& text) {
    return sql::decide(sql::classify(text), catalog_.get()).may_do_anything;
  };
  for (const char* text :
       {"SELECT * FROM view_of_volatile", "SELECT * FROM view_of_operator", "SELECT * FROM guarded",
        "SELECT * FROM view_of_lock", "SELECT * FROM view_of_text", "SELECT 1 === 2", "SELECT b::checked FROM plain",
        "SELECT p.full_name FROM plain p", "INSERT INTO plain SELECT * FROM view_of_volatile"}) {
    EXPECT_TRUE(may_do_anything(text)) << text;
  }
  for (const char* text : {"SELECT * FROM good_view", "SELECT * FROM unlogged", "SELECT * FROM foreign_one",
                           "SELECT * FROM view_of_backend", "SELECT * FROM view_of_activity", "SELECT * FROM stored",
                           "INSERT INTO plain SELECT a, 'x' FROM unlogged WHERE a = 1"}) {
    EXPECT_FALSE(may_do_anything(text)) << text;
  }
}

TEST_F(SqlCatalog, WhatHidesInViewsDefaultsAndTypesIsFound) {
  const Status made = server_->sql(R"(
    CREATE SCHEMA hides;
    CREATE VIEW hides.locks AS SELECT * FROM plain FOR UPDATE;
    CREATE VIEW hides.on_locks AS SELECT * FROM hides.locks;
    CREATE VIEW hides.casts AS SELECT b::checked FROM plain;
    CREATE VIEW hides.casts_many AS SELECT ARRAY[b]::checked[] FROM plain;
    CREATE TYPE hides.composite AS (a checked);
    CREATE FUNCTION hides.by_default(a bigint DEFAULT nextval('seq')) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT a';
    CREATE FUNCTION hides.here(a bool DEFAULT pg_is_in_recovery()) RETURNS bool LANGUAGE sql STABLE AS 'SELECT a';
    CREATE FUNCTION hides.twice(a bigint DEFAULT hides.by_default()) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT a';
    CREATE VIEW hides.with_default AS SELECT hides.twice();
    CREATE FUNCTION hides.sets() RETURNS text STABLE LANGUAGE plpgsql AS
      $$ BEGIN RETURN set_config('work_mem', '1MB', false); END $$;
    CREATE FUNCTION hides.calls() RETURNS text STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN hides.sets(); END $$;
    CREATE FUNCTION hides.asks() RETURNS bigint STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN lastval(); END $$;
    CREATE VIEW hides.wal AS SELECT pg_walfile_name('0/1000000');
    CREATE FUNCTION hides.fine() RETURNS text STABLE LANGUAGE plpgsql AS
      $$ BEGIN RETURN (SELECT b FROM plain ORDER BY length(b) LIMIT 1); END $$;
    CREATE VIEW hides.fine_view AS SELECT hides.fine(), b::unchecked FROM plain;)");
  ASSERT_TRUE(made.ok()) << made.error().message;
  const auto fresh = ask();
  const auto look = [&](const std::string& text) { return sql::decide(sql::classify(text), fresh.get()); };
  for (const char* text :
       {"SELECT * FROM hides.locks", "SELECT * FROM on_locks", "SELECT * FROM hides.casts",
        "SELECT * FROM hides.casts_many", "SELECT '(1)'::hides.composite", "SELECT hides.by_default()",
        "SELECT hides.here()", "SELECT hides.twice()", "SELECT * FROM hides.with_default", "SELECT hides.sets()",
        "SELECT hides.calls()", "SELECT hides.asks()", "SELECT * FROM hides.wal"}) {
    EXPECT_FALSE(look(text).replica) << text;
  }
  for (const char* text : {"SELECT hides.sets()", "SELECT hides.calls()", "SELECT * FROM hides.casts"}) {
    EXPECT_TRUE(look(text).may_do_anything) << text;
  }
  EXPECT_TRUE(look("SELECT hides.asks()").asks_number);
  EXPECT_TRUE(look("SELECT hides.fine()").replica) << look("SELECT hides.fine()").reason;
  EXPECT_TRUE(look("SELECT * FROM hides.fine_view").replica);
  EXPECT_FALSE(look("SELECT * FROM hides.locks").may_do_anything);
  ASSERT_TRUE(server_->sql("DROP SCHEMA hides CASCADE"));
}

TEST_F(SqlCatalog, WhoAsksForNumbersOfSequencesIsFound) {
  EXPECT_FALSE(catalog_->anything_asks_for_numbers());
  const Status made = server_->sql(R"(
    CREATE SCHEMA asks;
    CREATE TABLE asks.child (a bigint DEFAULT currval('seq'));
    CREATE TABLE asks.triggered (a bigint);
    CREATE FUNCTION asks.last() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := lastval(); RETURN NEW; END $$;
    CREATE TRIGGER t BEFORE INSERT ON asks.triggered FOR EACH ROW EXECUTE FUNCTION asks.last();
    CREATE VIEW asks.seen AS SELECT lastval();
    CREATE TABLE asks.no (a serial);)");
  ASSERT_TRUE(made.ok()) << made.error().message;
  const auto fresh = ask();
  const auto asks = [&](const std::string& text) { return sql::decide(sql::classify(text), fresh.get()).asks_number; };
  for (const char* text :
       {"INSERT INTO asks.child DEFAULT VALUES", "INSERT INTO triggered VALUES (1)", "SELECT * FROM asks.seen"}) {
    EXPECT_TRUE(asks(text)) << text;
  }
  for (const char* text : {"INSERT INTO asks.no DEFAULT VALUES", "SELECT * FROM asks.child", "SELECT writes()"}) {
    EXPECT_FALSE(asks(text)) << text;
  }
  EXPECT_TRUE(fresh->anything_asks_for_numbers());
  ASSERT_TRUE(server_->sql("DROP SCHEMA asks CASCADE"));
}

}  // namespace
}  // namespace pgb::proxy
