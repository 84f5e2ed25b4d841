/* For isolationtester, which asks libpq for the number of the process that serves each of its connections, to find out
   who waits for whom. Behind a balancer that number is the balancer's; this asks the server instead. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

int PQbackendPID(const PGconn *conn) {
  PGresult *result = PQexec((PGconn *)conn, "SELECT public.session_number()");
  if (PQresultStatus(result) != PGRES_TUPLES_OK) {
    fprintf(stderr, "session_number(): %s", PQerrorMessage(conn));
    exit(1);
  }
  const int number = atoi(PQgetvalue(result, 0, 0));
  PQclear(result);
  return number;
}
