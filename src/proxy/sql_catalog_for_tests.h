// A real server with all kinds of objects, and the catalogue as it tells it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "proxy/postgres_for_tests.h"
#include "sql/classify.h"
#include "sql/decision.h"

namespace pgb::proxy {

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

  inline static std::unique_ptr<Postgres> server_;
  inline static sql::CatalogPtr catalog_;
  inline static std::string reason_;
};

}  // namespace pgb::proxy
