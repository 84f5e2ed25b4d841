// Who leads a group: asked of its lease store, changed by a request that is left there for the agents.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cluster/group_store.h"
#include "cluster/session.h"

namespace pgb::cluster {

// What a client that wrote through the balancer all the time was told.
struct Measured {
  double pause = 0;  // seconds without an acknowledged commit
  uint64_t commits = 0, errors = 0;
  std::optional<uint64_t> lost;  // of these commits; nothing: the new primary could not be asked
  std::string first_error;
};

struct RoleChange {
  std::string group, from, to;
  uint64_t epoch = 0;
  double seconds = 0;                // until the new primary takes writes
  std::string sentence;              // of whoever took over
  bool lossy = false;                // it was forced: acknowledged commits may be lost, as the sentence says
  std::optional<Measured> measured;  // nothing: no write went through the balancer before
  std::string trouble;               // what is not as it should be although the role has moved; empty: nothing
};

// What a switchover would do, by what is known now.
struct SwitchoverPlan {
  std::string group, from, to;  // to == from: there is nothing to do
  std::string balancer;
  bool async = false;
  int64_t lag_bytes = 0;             // of `to`, as the primary sees it
  std::optional<double> last_pause;  // seconds, as measured at this group's last switchover
};
// kNoNode, kNotReady: nobody leads, or nobody (or not `to`) can take over, and why.
Result<SwitchoverPlan> plan_switchover(Session& session, const std::string& balancer, const std::string& to);

// Moves the role to `to`, or to the best candidate if that is empty; planned, nothing is lost. Returns when the new
// primary takes writes, and the former one follows it and could take over again (not within a minute: `trouble`).
// Who streams, and will be in the record in a moment, is waited for: at most 5 s.
// kNoNode, kNotReady (with the leader's reason; then nothing has changed), kBusy (another request stands), kTimeout and
// kInterrupted (say whether the request was taken back or is carried out).
Result<RoleChange> switchover(Session& session, const std::string& balancer, const std::string& to);

// Oldest first.
Result<std::vector<Change>> history(Session& session, const std::string& balancer);

}  // namespace pgb::cluster
