/* The session: who it is, what it has set, where its statements go, and what becomes of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checks.h"

static void notify(void) {
  PGconn *one = connect_plain(), *two = connect_plain();
  run(one, "LISTEN news");
  for (int n = 0; n < 3; n++) {
    run(two, text("NOTIFY news, 'number %d'", n));
    PGnotify *note;
    while (!(note = PQnotifies(one))) wait_readable(one, 10);
    const char *heard = text("%s: %s", note->relname, note->extra);
    PQfreemem(note);
    same(heard, text("news: number %d", n), "notification");
  }
  run(one, "UNLISTEN *");
  same(value(one, "SELECT count(*) FROM pg_listening_channels()"), "0", "channels");
}

static const char *secure(const char *more) {
  return text("sslmode=verify-full sslrootcert=%s %s", setting("CHECK_CA"), more);
}

static void not_connected(const char *options) {
  PGconn *connection = PQconnectdb(options);
  const bool connected = PQstatus(connection) == CONNECTION_OK;
  const char *why = text("%s", PQerrorMessage(connection));
  PQfinish(connection);
  if (connected || !strstr(why, "certificate")) fail("with %s: %s", options, connected ? "connected" : why);
}

static void tls(void) {
  PGconn *one = connect_with(secure(""));
  CHECK(PQsslInUse(one));
  same(value(one, "SELECT 1"), "1", "over TLS");
  not_connected(text("sslmode=verify-full sslrootcert=%s", setting("CHECK_OTHER_CA")));
  not_connected(secure("host=127.0.0.1"));
}

static void channel_binding(void) {
  same(value(connect_with(secure("channel_binding=require")), "SELECT current_user"), setting("PGUSER"), "user");
}

static void set(void) {
  enum { kMostClients = 50 };
  const int clients = number_of("CHECK_CLIENTS");
  PGconn *connections[kMostClients];
  for (int i = 0; i < clients; i++) {
    connections[i] = connect_with(text("application_name='client %d'", i));
    run(connections[i], text("SET work_mem = '%dMB'", i + 1));
    run(connections[i], text("SELECT set_config('my.number', '%d', false)", i));
  }
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < clients; i++) {
      run(connections[i], "BEGIN; SET LOCAL work_mem = '77MB'");
      same(value(connections[i], "SHOW work_mem"), "77MB", "SET LOCAL");
      run(connections[i], "COMMIT");
      same(value(connections[i], "SELECT current_setting('work_mem') || current_setting('my.number') || "
                                 "current_setting('application_name')"),
           text("%dMB%dclient %d", i + 1, i, i), "parameters");
    }
  }
  run(connections[0], "RESET work_mem");
  same(value(connections[0], "SHOW work_mem"), "4MB", "RESET");
  run(connections[0], "SET TimeZone = 'Asia/Tokyo'");
  same(PQparameterStatus(connections[0], "TimeZone"), "Asia/Tokyo", "reported");
  same(PQparameterStatus(connections[1], "TimeZone"), value(connections[1], "SHOW TimeZone"), "reported to the other");
}

static void read_after_write(void) {
  PGconn *one = connect_plain(), *fresh = connect_plain();
  run(one, "CREATE TABLE written (n int); INSERT INTO written VALUES (0)");
  for (int n = 1; n < 100; n++) {
    run(one, text("UPDATE written SET n = %d", n));
    same(value(one, "SELECT n FROM written"), text("%d", n), "read");
  }
  for (const time_t end = time(NULL) + 10; !at_replica(fresh);) CHECK(time(NULL) < end);
}

static void read_only(void) {
  PGconn *one = connect_plain();
  run(one, "BEGIN READ ONLY");
  CHECK(at_replica(one));
  refused(one, "CREATE TABLE never (n int)", "25006");
  run(one, "ROLLBACK");
  run(one, "BEGIN");
  run(one, "CREATE TABLE now (n int)");
  CHECK(!at_replica(one));
  run(one, "COMMIT");
  same(value(one, "SELECT count(*) FROM now"), "0", "count");
}

static void temporary_table(void) {
  PGconn *one = connect_plain(), *two = connect_plain();
  run(one, "CREATE TEMP TABLE mine (n int)");
  for (int n = 0; n < 5; n++) {
    run(one, "INSERT INTO mine VALUES (1)");
    refused(two, "SELECT * FROM mine", "42P01");
  }
  same(value(one, "SELECT count(*) FROM mine"), "5", "count");
  run(one, "DROP TABLE mine");
}

static void server_lost(void) {
  PGconn *idle = connect_plain(), *told = connect_plain();
  char answer[16];
  run(idle, "SET work_mem = '9MB'");
  run(idle, "CREATE TABLE lost (n int)");
  CHECK(PQresultStatus(keep(PQprepare(idle, "insert", "INSERT INTO lost VALUES (1) RETURNING n", 0, NULL))) ==
        PGRES_COMMAND_OK);
  execute(idle, "insert", 0, NULL);
  run(told, "BEGIN; INSERT INTO lost VALUES (2)");
  puts("ask: lose the primary");
  fflush(stdout);
  CHECK(fgets(answer, sizeof answer, stdin) && strcmp(answer, "done\n") == 0);
  PGresult *result = keep(PQexec(told, "INSERT INTO lost VALUES (3)"));
  const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  CHECK(PQresultStatus(result) == PGRES_FATAL_ERROR && state && !strcmp(state, "40001"));
  CHECK(PQstatus(told) == CONNECTION_OK && PQtransactionStatus(told) == PQTRANS_INERROR);
  run(told, "ROLLBACK");
  CHECK(PQtransactionStatus(told) == PQTRANS_IDLE);
  same(value(told, "SELECT sum(n) FROM lost"), "1", "after the loss");
  same(value(idle, "SHOW work_mem"), "9MB", "who was idle");
  execute(idle, "insert", 0, NULL);
  same(value(idle, "SELECT sum(n) FROM lost"), "2", "who was idle");
}

const struct check session_checks[] = {{"notify", notify},
                                       {"tls", tls},
                                       {"channel_binding", channel_binding},
                                       {"set", set},
                                       {"read_after_write", read_after_write},
                                       {"read_only", read_only},
                                       {"temporary_table", temporary_table},
                                       {"server_lost", server_lost},
                                       {NULL, NULL}};
