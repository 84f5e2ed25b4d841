// The wait for what a request asked of a group's agents: until another one leads.
#pragma once

#include <cstdint>
#include <string>

#include "cluster/group_store.h"
#include "cluster/roles.h"

namespace pgb::cluster {

struct Asked {
  int64_t request;
  std::string from;  // who is to be replaced; empty: nobody led
  bool failover;     // else a switchover
  bool force;        // a failover that may lose
};

// Until another one than `from` leads, takes writes, and the request is done with. kNotReady: the leader said no, and
// why; kNoSafeCandidate: an election can find nobody; kTimeout and kInterrupted: say what has become of the request.
Result<RoleChange> wait_for_change(const Session& session, Group& group, const Asked& asked);

}  // namespace pgb::cluster
