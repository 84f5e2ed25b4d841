/* What the checks of libpq share: see ../checks.py. */
#ifndef CHECKS_H
#define CHECKS_H

#include <libpq-fe.h>
#include <stdbool.h>

/* Ends the check that runs, with this reason. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define CHECK(condition) ((condition) ? (void)0 : fail("line %d: %s", __LINE__, #condition))

/* A connection by the environment and these options more; closed when the check has ended. */
PGconn *connect_with(const char *options);
PGconn *connect_plain(void);
void disconnect(PGconn *connection);

PGresult *run(PGconn *connection, const char *sql); /* freed when the check has ended */
const char *value(PGconn *connection, const char *sql);
PGresult *keep(PGresult *result);
void same(const char *found, const char *wanted, const char *what);
void is_refused(PGresult *result, const char *sqlstate);
void refused(PGconn *connection, const char *sql, const char *sqlstate);
PGresult *execute(PGconn *connection, const char *name, int count, const char *const *values);
PGresult *with_values(PGconn *connection, const char *sql, int count, const char *const *values);
const char *setting(const char *name); /* of the environment */
int number_of(const char *name);
const char *text(const char *format, ...) __attribute__((format(printf, 1, 2))); /* valid until the check has ended */
bool at_replica(PGconn *connection);
void wait_readable(PGconn *connection, int seconds);

struct check {
  const char *name;
  void (*run)(void);
};
extern const struct check statement_checks[]; /* end with a null name */
extern const struct check data_checks[];
extern const struct check session_checks[];

#endif
