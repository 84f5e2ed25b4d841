/* Values: copied, large, of many types, in many rows. */
#include <libpq/libpq-fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"

#define LARGE (64 << 20)

static void copied_in(PGconn *connection, const char *data, size_t size) {
  CHECK(PQputCopyData(connection, data, (int)size) == 1);
  CHECK(PQputCopyEnd(connection, NULL) == 1);
}

/* All of it; the length is at `size`. Freed when the check has ended. */
static const char *copied_out(PGconn *connection, const char *sql, size_t *size) {
  CHECK(PQresultStatus(keep(PQexec(connection, sql))) == PGRES_COPY_OUT);
  char *all = NULL, *part = NULL;
  FILE *stream = open_memstream(&all, size);
  for (int length; (length = PQgetCopyData(connection, &part, 0)) > 0; PQfreemem(part)) {
    fwrite(part, 1, (size_t)length, stream);
  }
  fclose(stream);
  CHECK(PQresultStatus(keep(PQgetResult(connection))) == PGRES_COMMAND_OK);
  CHECK(PQgetResult(connection) == NULL);
  return all;
}

static void copy_ended(PGconn *connection, const char *status) {
  PGresult *result = keep(PQgetResult(connection));
  if (PQresultStatus(result) != PGRES_COMMAND_OK) fail("%s", PQerrorMessage(connection));
  same(PQcmdStatus(result), status, "COPY");
  CHECK(PQgetResult(connection) == NULL);
}

static void copy_as(const char *table, const char *format) {
  PGconn *one = connect_plain();
  size_t size = 0, again = 0;
  run(one, text("CREATE TABLE %s (n int, text text)", table));
  const char *data = copied_out(one, text("COPY (SELECT n, CASE WHEN n %% 7 > 0 THEN 'é\t\\' || n END FROM "
                                          "generate_series(1, 10000) n) TO STDOUT (FORMAT %s)", format), &size);
  CHECK(PQresultStatus(keep(PQexec(one, text("COPY %s FROM STDIN (FORMAT %s)", table, format)))) == PGRES_COPY_IN);
  copied_in(one, data, size);
  copy_ended(one, "COPY 10000");
  const char *back = copied_out(one, text("COPY %s TO STDOUT (FORMAT %s)", table, format), &again);
  CHECK(size == again && memcmp(data, back, size) == 0);
  free((void *)data);
  free((void *)back);
}

static void copy_text(void) {
  copy_as("copied_text", "text");
  PGconn *one = connect_plain();
  CHECK(PQresultStatus(keep(PQexec(one, "COPY copied_text FROM STDIN"))) == PGRES_COPY_IN);
  copied_in(one, "no number\tbad\n", 14);
  is_refused(PQgetResult(one), "22P02");
  CHECK(PQgetResult(one) == NULL);
  same(value(one, "SELECT count(*) FROM copied_text"), "10000", "count");
}

static void copy_binary(void) { copy_as("copied_binary", "binary"); }

static void there_and_back(PGconn *connection, const char *type, Oid oid, const char *data) {
  const int length = LARGE, format = 1;
  PGresult *result =
      PQexecParams(connection, text("SELECT $1::%s", type), 1, &oid, &data, &length, &format, 1);
  const bool good = PQresultStatus(result) == PGRES_TUPLES_OK && PQgetlength(result, 0, 0) == LARGE &&
                    memcmp(PQgetvalue(result, 0, 0), data, LARGE) == 0;
  PQclear(result);
  if (!good) fail("%s came back changed: %s", type, PQerrorMessage(connection));
}

static void large_values(void) {
  PGconn *one = connect_plain();
  char *data = malloc(LARGE + 1);
  for (int i = 0; i < LARGE; i++) data[i] = (char)((unsigned)i * 2654435761U >> 24);
  there_and_back(one, "bytea", 17, data);
  for (int i = 0; i < LARGE; i++) data[i] = (char)('a' + i % 26);
  data[LARGE] = '\0';
  there_and_back(one, "text", 25, data);
  free(data);
  same(value(one, "SELECT 1"), "1", "afterwards");
}

static void large_objects(void) {
  enum { kSize = 1 << 20 };
  static char data[kSize], back[kSize];
  PGconn *one = connect_plain();
  for (int i = 0; i < kSize; i++) data[i] = (char)((unsigned)i * 2654435761U >> 24);
  run(one, "BEGIN");
  const Oid object = lo_creat(one, INV_READ | INV_WRITE);
  int handle = lo_open(one, object, INV_WRITE);
  CHECK(object != 0 && handle >= 0);
  CHECK(lo_write(one, handle, data, kSize) == kSize);
  CHECK(lo_close(one, handle) == 0);
  run(one, "COMMIT");
  run(one, "BEGIN");
  handle = lo_open(one, object, INV_READ);
  CHECK(lo_lseek64(one, handle, kSize / 2, SEEK_SET) == kSize / 2);
  CHECK(lo_read(one, handle, back, kSize) == kSize / 2);
  CHECK(memcmp(back, data + kSize / 2, kSize / 2) == 0);
  run(one, "COMMIT");
  CHECK(lo_unlink(one, object) == 1);
  refused(one, text("SELECT lo_get(%u)", object), "42704");
}

static const char *columns(void) {
  char *all = NULL;
  size_t size = 0;
  FILE *stream = open_memstream(&all, &size);
  for (int k = 0; k < 200; k++) fprintf(stream, "%sn + %d AS c%d", k > 0 ? ", " : "", k, k);
  fclose(stream);
  const char *kept = text("%s", all);
  free(all);
  return kept;
}

static void cursors(void) {
  PGconn *one = connect_plain();
  const char *select = text("SELECT %s FROM generate_series(1, 2000) n", columns());
  int seen = 0;
  run(one, "BEGIN");
  run(one, text("DECLARE bit_by_bit SCROLL CURSOR FOR %s", select));
  for (PGresult *part; PQntuples(part = run(one, "FETCH 100 FROM bit_by_bit")) > 0;) {
    CHECK(PQnfields(part) == 200);
    for (int row = 0; row < PQntuples(part); row++) {
      CHECK(atoi(PQgetvalue(part, row, 199)) == ++seen + 199);
    }
  }
  CHECK(seen == 2000);
  run(one, "MOVE ABSOLUTE 10 FROM bit_by_bit");
  same(value(one, "FETCH 1 FROM bit_by_bit"), "11", "after MOVE");
  run(one, "COMMIT");
  CHECK(PQsendQuery(one, select) && PQsetSingleRowMode(one));
  seen = 0;
  for (PGresult *row; (row = PQgetResult(one)); PQclear(row)) seen += PQntuples(row);
  CHECK(seen == 2000);
}

static void types(void) {
  static const char *const things[][2] = {
      {"int2", "-32768"}, {"int4", "2147483647"}, {"int8", "-9223372036854775808"}, {"bool", "t"},
      {"numeric", "12345678901234567890.0123456789"}, {"float8", "0.1"}, {"text", "grün ✓ \\ ' \" \n"},
      {"bytea", "\\x00ff27225c"}, {"date", "1999-12-31"}, {"timestamp", "2024-02-29 23:59:59.999999"},
      {"interval", "3 days 00:00:07"}, {"uuid", "00000000-0000-0000-0000-00000000004d"}, {"time", "01:02:03"},
      {"jsonb", "{\"a\": [1, null, \"é\"]}"}, {"int4[]", "{1,NULL,3}"}, {"text[]", "{a,\"b\\\"\",NULL}"},
      {"inet", "10.1.2.3"}, {"int4range", "[1,9)"}, {"timetz", "12:00:00+02"}, {"point", "(1,2)"}};
  PGconn *one = connect_plain();
  for (size_t i = 0; i < sizeof things / sizeof things[0]; i++) {
    const char *sent[] = {things[i][1], NULL};
    PGresult *row = with_values(one, text("SELECT $1::%s, $2::%s", things[i][0], things[i][0]), 2, sent);
    same(PQgetvalue(row, 0, 0), sent[0], things[i][0]);
    CHECK(PQgetisnull(row, 0, 1));
  }
  PGresult *binary = keep(PQexecParams(one, "SELECT 258::int4", 0, NULL, NULL, NULL, NULL, 1));
  CHECK(memcmp(PQgetvalue(binary, 0, 0), "\0\0\1\2", 4) == 0);
}

const struct check data_checks[] = {{"copy_text", copy_text},         {"copy_binary", copy_binary},
                                    {"large_values", large_values},   {"large_objects", large_objects},
                                    {"cursors", cursors},             {"types", types},
                                    {NULL, NULL}};
