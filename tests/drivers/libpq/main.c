#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"

#define MOST 20000

static jmp_buf end_of_check;
static char reason[1024];
static PGconn *connections[100];
static PGresult *results[MOST];
static char *texts[MOST];
static int connection_count, result_count, text_count;

void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  for (char *at = reason; *at != '\0'; at++) {
    if (*at == '\n') *at = ' ';
  }
  longjmp(end_of_check, 1);
}

static void clear_check(void) {
  while (result_count > 0) PQclear(results[--result_count]);
  while (connection_count > 0) PQfinish(connections[--connection_count]);
  while (text_count > 0) free(texts[--text_count]);
}

PGconn *connect_with(const char *options) {
  PGconn *connection = PQconnectdb(options);
  connections[connection_count++] = connection;
  if (PQstatus(connection) != CONNECTION_OK) fail("not connected: %s", PQerrorMessage(connection));
  return connection;
}

PGconn *connect_plain(void) { return connect_with(""); }

void disconnect(PGconn *connection) {
  for (int i = 0; i < connection_count; i++) {
    if (connections[i] == connection) connections[i] = connections[--connection_count];
  }
  PQfinish(connection);
}

PGresult *keep(PGresult *result) {
  CHECK(result_count < MOST);
  return results[result_count++] = result;
}

static PGresult *good(PGconn *connection, PGresult *result) {
  const ExecStatusType status = PQresultStatus(keep(result));
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) fail("%s", PQerrorMessage(connection));
  return result;
}

PGresult *run(PGconn *connection, const char *sql) { return good(connection, PQexec(connection, sql)); }

const char *value(PGconn *connection, const char *sql) { return PQgetvalue(run(connection, sql), 0, 0); }

PGresult *execute(PGconn *connection, const char *name, int count, const char *const *values) {
  return good(connection, PQexecPrepared(connection, name, count, values, NULL, NULL, 0));
}

PGresult *with_values(PGconn *connection, const char *sql, int count, const char *const *values) {
  return good(connection, PQexecParams(connection, sql, count, NULL, values, NULL, NULL, 0));
}

void same(const char *found, const char *wanted, const char *what) {
  if (strcmp(found, wanted) != 0) fail("%.200s: \"%.200s\" instead of \"%.200s\"", what, found, wanted);
}

void is_refused(PGresult *result, const char *sqlstate) {
  if (PQresultStatus(keep(result)) != PGRES_FATAL_ERROR) fail("no error %s", sqlstate);
  const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  same(state ? state : "", sqlstate, PQresultErrorMessage(result));
}

void refused(PGconn *connection, const char *sql, const char *sqlstate) { is_refused(PQexec(connection, sql), sqlstate); }

const char *setting(const char *name) {
  const char *found = getenv(name);
  if (!found) fail("%s is not in the environment", name);
  return found;
}

int number_of(const char *name) { return atoi(setting(name)); }

const char *text(const char *format, ...) {
  char *made = NULL;
  va_list arguments;
  va_start(arguments, format);
  if (vasprintf(&made, format, arguments) < 0) abort();
  va_end(arguments);
  CHECK(text_count < MOST);
  return texts[text_count++] = made;
}

bool at_replica(PGconn *connection) {
  return strcmp(value(connection, "SELECT here()"), setting("CHECK_PRIMARY_PORT")) != 0;
}

void wait_readable(PGconn *connection, int seconds) {
  struct pollfd wanted = {.fd = PQsocket(connection), .events = POLLIN};
  if (poll(&wanted, 1, seconds * 1000) <= 0) fail("nothing came within %d s", seconds);
  CHECK(PQconsumeInput(connection));
}

static void run_check(const struct check *check) {
  if (setjmp(end_of_check) == 0) {
    check->run();
    printf("%s: ok\n", check->name);
  } else {
    printf("%s: failed %s\n", check->name, reason);
  }
  fflush(stdout);
  clear_check();
}

int main(int count, char **arguments) {
  const struct check *const lists[] = {statement_checks, data_checks, session_checks};
  for (int i = 1; i < count; i++) {
    for (int list = 0; list < 3; list++) {
      for (const struct check *check = lists[list]; check->name; check++) {
        if (strcmp(check->name, arguments[i]) == 0) run_check(check);
      }
    }
  }
  return 0;
}
