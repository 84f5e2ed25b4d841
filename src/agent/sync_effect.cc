#include "agent/sync_effect.h"

#include "agent/turns.h"

namespace pgb::agent {

// Whether commits wait at all is a flag in shared memory, which the checkpointer sets at its next turn. Within a
// checkpoint that may be long after it took the signal, and until then a commit is acknowledged at once, whatever the
// backend's own setting says.
bool SyncEffect::commits_wait(pgclient::Connection& connection, pid_t postmaster) {
  waits_ = waits_ || had_its_turn(connection, postmaster, "checkpointer", "'CheckpointerMain', 'CheckpointWriteDelay'");
  return waits_;
}

}  // namespace pgb::agent
