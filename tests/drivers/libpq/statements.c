/* Statements: prepared, in a pipeline, failing, cancelled. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checks.h"

#define INSERT "INSERT INTO prepared VALUES ($1, $2) RETURNING n * 2, pg_backend_pid()"

static void prepare(PGconn *connection, const char *name, const char *sql) {
  PGresult *result = keep(PQprepare(connection, name, sql, 0, NULL));
  if (PQresultStatus(result) != PGRES_COMMAND_OK) fail("%s", PQerrorMessage(connection));
}

static int servers_seen(const int *pids, int count) {
  int different = 0;
  for (int i = 0; i < count; i++) {
    int before = 0;
    while (pids[before] != pids[i]) before++;
    different += before == i;
  }
  return different;
}

static void prepared(void) {
  enum { kRounds = 5, kMostClients = 50 };
  const int clients = number_of("CHECK_CLIENTS");
  PGconn *connections[kMostClients];
  int pids[kMostClients * kRounds];
  int seen = 0;
  for (int i = 0; i < clients; i++) connections[i] = connect_plain();
  run(connections[0], "CREATE TABLE prepared (client int, n int)");
  for (int i = 0; i < clients; i++) prepare(connections[i], "insert", INSERT);
  for (int i = 0; i < clients; i++) prepare(connections[i], "max", "SELECT max(n) FROM prepared WHERE client = $1");
  for (int n = 0; n < kRounds; n++) {
    for (int i = 0; i < clients; i++) {
      const char *values[] = {text("%d", i), text("%d", n)};
      PGresult *row = execute(connections[i], "insert", 2, values);
      same(PQgetvalue(row, 0, 0), text("%d", 2 * n), "inserted");
      pids[seen++] = atoi(PQgetvalue(row, 0, 1));
      same(PQgetvalue(execute(connections[i], "max", 1, values), 0, 0), values[1], "max");
    }
  }
  CHECK(servers_seen(pids, seen) <= number_of("CHECK_SERVERS"));
  same(value(connections[0], "SELECT count(*) FROM prepared"), text("%d", kRounds * clients), "count");
  if (strcmp(setting("CHECK_MODE"), "statement") == 0) return;
  const char *values[] = {"0", "9"};
  run(connections[0], "BEGIN");
  execute(connections[0], "insert", 2, values);
  CHECK(atoi(value(connections[0], "SELECT count(*) FROM pg_prepared_statements "
                                   "WHERE statement LIKE 'INSERT INTO prepared%'")) >= 1);
  run(connections[0], "COMMIT");
}

static void schema_change(void) {
  PGconn *one = connect_plain(), *two = connect_plain();
  run(two, "CREATE TABLE shaped (a int); INSERT INTO shaped VALUES (1)");
  prepare(one, "shaped", "SELECT * FROM shaped");
  for (int i = 0; i < 3; i++) CHECK(PQnfields(execute(one, "shaped", 0, NULL)) == 1);
  run(two, "ALTER TABLE shaped ADD COLUMN b text DEFAULT 'new'");
  for (int told = 0;; told++) {
    CHECK(told <= number_of("CHECK_SERVERS"));
    PGresult *row = keep(PQexecPrepared(one, "shaped", 0, NULL, NULL, NULL, 0));
    if (PQresultStatus(row) == PGRES_TUPLES_OK) {
      CHECK(PQnfields(row) == 2);
      return same(PQgetvalue(row, 0, 1), "new", "the new column");
    }
    same(PQresultErrorField(row, PG_DIAG_SQLSTATE), "0A000", PQresultErrorMessage(row));
  }
}

static void deallocate(void) {
  PGconn *one = connect_plain(), *two = connect_plain();
  const char *const ways[] = {"DEALLOCATE named", "DEALLOCATE ALL", "DISCARD ALL"};
  run(one, "PREPARE mine AS SELECT 1");
  same(value(one, "EXECUTE mine"), "1", "EXECUTE");
  run(one, "DEALLOCATE mine");
  refused(one, "EXECUTE mine", "26000");
  prepare(two, "named", "SELECT 7");
  for (int i = 0; i < 3; i++) {
    prepare(one, "named", "SELECT 7");
    same(PQgetvalue(execute(one, "named", 0, NULL), 0, 0), "7", "before");
    run(one, ways[i]);
    is_refused(PQexecPrepared(one, "named", 0, NULL, NULL, NULL, 0), "26000");
    same(PQgetvalue(execute(two, "named", 0, NULL), 0, 0), "7", "of the other");
  }
  /* By the extended protocol, too. */
  prepare(one, "named", "SELECT 7");
  with_values(one, "DEALLOCATE named", 0, NULL);
  is_refused(PQexecPrepared(one, "named", 0, NULL, NULL, NULL, 0), "26000");
}

static void send_insert(PGconn *connection, int n) {
  const char *values[] = {text("%d", n)};
  CHECK(PQsendQueryPrepared(connection, "insert", 1, values, NULL, NULL, 0));
}

static PGresult *next_of_pipeline(PGconn *connection) {
  PGresult *result = PQgetResult(connection);
  while (!result) result = PQgetResult(connection); /* null: the end of one statement's results */
  return keep(result);
}

static void pipeline(void) {
  PGconn *one = connect_plain();
  run(one, "CREATE TABLE piped (n int PRIMARY KEY)");
  prepare(one, "insert", "INSERT INTO piped VALUES ($1) RETURNING n");
  CHECK(PQenterPipelineMode(one));
  for (int n = 0; n < 300; n++) {
    send_insert(one, n);
    if (n % 100 == 50) CHECK(PQpipelineSync(one));
    if (n % 100 == 60) CHECK(PQsendFlushRequest(one));
  }
  CHECK(PQpipelineSync(one));
  for (int n = 0; n < 300; n++) {
    same(PQgetvalue(next_of_pipeline(one), 0, 0), text("%d", n), "in the pipeline");
    if (n % 100 == 50) CHECK(PQresultStatus(next_of_pipeline(one)) == PGRES_PIPELINE_SYNC);
  }
  CHECK(PQresultStatus(next_of_pipeline(one)) == PGRES_PIPELINE_SYNC);
  send_insert(one, 1000);
  send_insert(one, 5);
  send_insert(one, 1001);
  CHECK(PQpipelineSync(one));
  send_insert(one, 2000);
  CHECK(PQpipelineSync(one));
  CHECK(PQresultStatus(next_of_pipeline(one)) == PGRES_TUPLES_OK);
  same(PQresultErrorField(next_of_pipeline(one), PG_DIAG_SQLSTATE), "23505", "in the pipeline");
  CHECK(PQresultStatus(next_of_pipeline(one)) == PGRES_PIPELINE_ABORTED);
  CHECK(PQresultStatus(next_of_pipeline(one)) == PGRES_PIPELINE_SYNC);
  same(PQgetvalue(next_of_pipeline(one), 0, 0), "2000", "after the error");
  CHECK(PQresultStatus(next_of_pipeline(one)) == PGRES_PIPELINE_SYNC);
  CHECK(PQexitPipelineMode(one));
  same(value(one, "SELECT count(*) FROM piped"), "301", "count");
}

static void cancel(void) {
  PGconn *one = connect_plain(), *two = connect_plain();
  char why[256];
  CHECK(PQsendQuery(one, "SELECT pg_backend_pid(), pg_sleep(60)"));
  while (atoi(value(two, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_backend_pid(), pg_sleep(60)' AND state = 'active'")) == 0) {
  }
  PGcancel *request = PQgetCancel(one);
  const int sent = PQcancel(request, why, sizeof why);
  PQfreeCancel(request);
  if (!sent) fail("%s", why);
  is_refused(PQgetResult(one), "57014");
  CHECK(PQgetResult(one) == NULL);
  same(value(one, "SELECT 1"), "1", "afterwards");
}

static void errors(void) {
  PGconn *one = connect_plain();
  const char *zero[] = {"0"};
  run(one, "CREATE TABLE unique_ones (n int PRIMARY KEY); INSERT INTO unique_ones VALUES (1)");
  for (int n = 0; n < 3; n++) {
    refused(one, "SELEC 1", "42601");
    is_refused(PQexecParams(one, "SELECT 1 / $1::int", 1, NULL, zero, NULL, NULL, 0), "22012");
    PGresult *error = PQexec(one, "INSERT INTO unique_ones VALUES (1)");
    is_refused(error, "23505");
    same(PQresultErrorField(error, PG_DIAG_CONSTRAINT_NAME), "unique_ones_pkey", "constraint");
    same(PQresultErrorField(error, PG_DIAG_MESSAGE_DETAIL), "Key (n)=(1) already exists.", "detail");
    same(PQresultErrorField(error, PG_DIAG_SEVERITY_NONLOCALIZED), "ERROR", "severity");
    same(value(one, "SELECT 2"), "2", "afterwards");
  }
}

static void error_in_transaction(void) {
  PGconn *one = connect_plain();
  run(one, "CREATE TABLE undone (n int)");
  run(one, "BEGIN");
  run(one, "INSERT INTO undone VALUES (1)");
  refused(one, "SELECT 1 / 0", "22012");
  CHECK(PQtransactionStatus(one) == PQTRANS_INERROR);
  refused(one, "SELECT 1", "25P02");
  run(one, "ROLLBACK");
  CHECK(PQtransactionStatus(one) == PQTRANS_IDLE);
  same(value(one, "SELECT count(*) FROM undone"), "0", "count");
}

static void savepoints(void) {
  PGconn *one = connect_plain();
  run(one, "CREATE TABLE saved (n int PRIMARY KEY)");
  run(one, "BEGIN; INSERT INTO saved VALUES (1)");
  run(one, "SAVEPOINT here");
  run(one, "INSERT INTO saved VALUES (2)");
  refused(one, "INSERT INTO saved VALUES (1)", "23505");
  run(one, "ROLLBACK TO here");
  run(one, "INSERT INTO saved VALUES (3)");
  run(one, "COMMIT");
  same(value(one, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM saved"), "1 3", "left");
}

static void autocommit(void) {
  PGconn *one = connect_plain(), *two = connect_plain(), *leaver = connect_plain();
  const char *sum = "SELECT coalesce(sum(n), 0) FROM committed";
  run(one, "CREATE TABLE committed (n int)");
  run(one, "BEGIN; INSERT INTO committed VALUES (1)");
  same(value(two, sum), "0", "before COMMIT");
  run(one, "COMMIT");
  same(value(two, sum), "1", "after COMMIT");
  run(one, "BEGIN; INSERT INTO committed VALUES (2); ROLLBACK");
  run(one, "INSERT INTO committed VALUES (3)");
  same(value(two, sum), "4", "after ROLLBACK");
  run(leaver, "BEGIN; INSERT INTO committed VALUES (100)");
  disconnect(leaver);
  run(two, "BEGIN; LOCK TABLE committed IN SHARE MODE; COMMIT"); /* waits for who left */
  same(value(two, sum), "4", "after who left");
}

const struct check statement_checks[] = {{"prepared", prepared},
                                         {"schema_change", schema_change},
                                         {"deallocate", deallocate},
                                         {"pipeline", pipeline},
                                         {"cancel", cancel},
                                         {"errors", errors},
                                         {"error_in_transaction", error_in_transaction},
                                         {"savepoints", savepoints},
                                         {"autocommit", autocommit},
                                         {NULL, NULL}};
