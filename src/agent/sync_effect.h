// Whether a change of synchronous_standby_names is in effect for commits: beside the processes that take it each at its
// own next turn (turns.h) there is one that tells all others.
#pragma once

#include <sys/types.h>

#include <string>

#include "pgclient/connection.h"

namespace pgb::agent {

// One thread at a time.
class SyncEffect {
 public:
  // True once it is certain that each commit that begins to wait from now on does wait: what was acknowledged without
  // is within what is flushed by now. To be asked when the new names are seen on a connection that had the old ones.
  bool commits_wait(pgclient::Connection& connection, pid_t postmaster);
  // A server is started with these names: its checkpointer goes by them before anybody is let in.
  void started_with(const std::string& names) { waits_ = !names.empty(); }
  // These are set, or were found: with none it is not certain any more.
  void names_are(const std::string& names) { waits_ = waits_ && !names.empty(); }

 private:
  bool waits_ = false;
};

}  // namespace pgb::agent
