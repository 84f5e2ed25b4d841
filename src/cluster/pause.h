// Maintenance: the agents of a group leave roles alone until they are told to go on. It stands in the lease store, so
// that neither a restart of an agent nor of this program ends it.
#pragma once

#include <string>

#include "cluster/group_store.h"

namespace pgb::cluster {

struct PauseResult {
  std::string group, leader;
  bool changed = false;  // it was not so already
  Pause pause;           // as it stands, or stood until now
};

// kNotReady: no failover there. As read_state(). kInDoubt: nobody knows whether it is paused now.
Result<PauseResult> pause(Session& session, const std::string& balancer);

// The same of a group that is open, without the manager's lock and events.
Result<PauseResult> put_pause(Group& group);

// Ends it. A primary that goes on without its lease must hear of it before others may elect: so the leader ends it, and
// without a leader every agent is asked whether its server runs as a primary. kNotReady: one does not answer, or a
// primary runs that the store does not know; `force` takes the word of whoever calls that none does. kTimeout.
Result<PauseResult> resume(Session& session, const std::string& balancer, bool force);

// What resume would do, touching nothing; the same errors where it is certain that they would come.
Result<GroupState> look_at_pause(Session& session, const std::string& balancer, std::string* group);

}  // namespace pgb::cluster
