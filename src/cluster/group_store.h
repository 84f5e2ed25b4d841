// A group and the lease store in which its agents agree: what stands there, and the requests that the manager leaves.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/session.h"
#include "cluster/units.h"
#include "dcs/dcs.h"
#include "dcs/keys.h"
#include "dcs/pause.h"
#include "dcs/role_change.h"

namespace pgb::cluster {

struct Group {
  model::Cluster cluster;
  Secrets secrets;
  model::Balancer balancer;
  std::unique_ptr<dcs::Dcs> store;
  dcs::Keys keys;
};

// `name` empty: the only one. kNoCluster, kNoBalancer; kNotReady: its agents do not choose a primary, or the balancer
// that keeps their lease store is not there or does not run. Asks nobody yet.
Result<Group> open_group(const Session& session, const std::string& name);

// The same of what is known already.
Result<Group> group_of(const model::Cluster& cluster, const Secrets& secrets, const model::Balancer& balancer,
                       const UnitMap& units);

using dcs::Pause;

// All of one moment.
struct GroupState {
  std::string leader;  // holder of the leader key; empty: nobody
  uint64_t epoch = 0;  // of the leader, else the highest there was
  int64_t leader_revision = 0;
  bool opened = false;  // the leader has recorded where commits are: it takes writes
  std::string durability;
  std::vector<std::string> members;  // of the sync set that is recorded
  unsigned required = 0;
  std::string recorded_leader;
  std::string transfer;            // in whose favour the last leader let go
  std::optional<int64_t> request;  // a request stands: its revision
  std::optional<Pause> pause;
};
// As the store's client says: kUnreachable, kTimeout, kAuth …
Result<GroupState> read_state(Group& group, Deadline deadline);
Result<GroupState> read_state(Group& group);  // within two seconds

// kNoNode with the known ones; `node` empty: success.
Status check_node(const Group& group, const std::string& node);

// The request's revision. kBusy: another one stands.
Result<int64_t> leave_request(Group& group, const char* kind, const std::string& node, bool force);
// Takes it back. False if it is gone, done or refused, or nobody knows.
bool withdraw_request(Group& group, int64_t revision);

struct Change : dcs::HistoryLine {
  std::string group;
};
// Oldest first. As the store's client says.
Result<std::vector<Change>> read_history(Group& group);
// How the request was settled, by whom and why; nothing if it stands or nobody says.
std::optional<Change> answer_to(Group& group, int64_t request);
// The newest line of one of these actions that was written after that revision; nothing if there is none.
std::optional<Change> last_line(Group& group, const std::vector<std::string>& actions, int64_t after);

// One more line, in a transaction with others.
dcs::Op history_line(const Group& group, uint64_t epoch, const std::string& action, const std::string& text);

}  // namespace pgb::cluster
