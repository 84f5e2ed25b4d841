// Who leads a group: asked of its lease store, changed by a request that is left there for the agents.
#pragma once

#include <string>
#include <vector>

#include "cluster/session.h"

namespace pgb::cluster {

struct RoleChange {
  std::string group, from, to;
  uint64_t epoch = 0;
  double seconds = 0;    // until the new primary takes writes
  std::string sentence;  // of whoever took over
};

// Moves the role to `to`, or to the best candidate if that is empty; planned, nothing is lost. Returns when the new
// primary takes writes. kNoNode, kNotReady (with the leader's reason; then nothing has changed), kBusy (another request
// stands), kTimeout (the request may still be carried out).
Result<RoleChange> switchover(Session& session, const std::string& balancer, const std::string& to);

// Gives a group without a leader one; `force`: also one that may lack acknowledged commits. kNotReady: it has one.
Result<RoleChange> failover(Session& session, const std::string& balancer, const std::string& to, bool force);

struct Change {
  std::string time;  // RFC 3339 UTC, by the clock of the node that wrote it
  std::string group, node, action;
  uint64_t epoch = 0;
  std::string text;
};
// Oldest first.
Result<std::vector<Change>> history(Session& session, const std::string& balancer);

}  // namespace pgb::cluster
