// Whether a process of our server has acted on what it was told. Signals are taken when they are delivered, and acted
// on at the process' next turn.
#pragma once

#include <sys/types.h>

#include "agent/server_watch.h"
#include "pgclient/connection.h"

namespace pgb::agent {

// False: a process of the server has a SIGHUP waiting, or is stopped, and goes by the old settings.
bool all_have_reloaded(pid_t postmaster, const ServerFacts& facts);

// True once the server's process of that kind has acted on each SIGHUP that the server was sent so far: it sleeps in
// one of `waits` (names of wait events, quoted, with commas), before which it looks at its settings, with no signal
// waiting for it or for the postmaster that passes them on. A signal that it took since it looked would have woken it.
// False also if the server does not say.
bool had_its_turn(pgclient::Connection& connection, pid_t postmaster, const char* backend_type, const char* waits);

// A standby without primary_conninfo: whether that is in effect, so that no walreceiver is started any more. Busy with
// what it has already, the startup process looks at its settings before each record. One server, one thread.
class LettingGo {
 public:
  bool is_in_effect(pgclient::Connection& connection, pid_t postmaster, const ServerFacts& facts);

 private:
  ha::Lsn replayed_ = 0;
  int records_ = 0;  // at least so many were replayed since the signal was taken
};

}  // namespace pgb::agent
