// What is asked of a group's agents by a request in its lease store, and what they tell of it there.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dcs/dcs.h"
#include "dcs/keys.h"

namespace pgb::dcs {

struct RoleRequest {
  std::string kind;  // "switchover", "failover", "reinit"
  std::string node;  // empty: whoever is best
  bool force = false;
};

// How long the agents may take to begin with a request.
inline constexpr std::chrono::seconds kRequestPatience{30};

// Its revision. One request stands at a time: kBusy if there is one. A failover ends with that time whoever is there to
// end it; the others are ended by the leader, and a while later by themselves. (A lease store that is started anew
// gives each its whole time once more.)
Result<int64_t> leave_request(Dcs& store, const Keys& keys, const RoleRequest& request);

// Takes it back. False if it is gone, done or refused, or nobody knows.
bool withdraw_request(Dcs& store, const Keys& keys, int64_t revision);

// Who leads, as the store knows it; empty: nobody does.
Result<std::string> leader_of(Dcs& store, const Keys& keys);

struct RoleChange {
  std::string from, to;
  uint64_t epoch = 0;
  double seconds = 0;    // until the new primary takes writes
  std::string sentence;  // of whoever took over
};

// Until another one than `from` leads and takes writes. kNotReady with the leader's reason, if the request (that
// leave_request() gave) was refused: then nothing has changed. kTimeout: it may still be carried out. `go_on` is asked
// between two looks; its error ends the wait.
Result<RoleChange> wait_for_change(Dcs& store, const Keys& keys, const std::string& from, int64_t request,
                                   const std::function<Status()>& go_on);

// One line of what happened to the group's roles.
struct HistoryLine {
  std::string time;  // RFC 3339 UTC, by the clock of the node that wrote it
  std::string node, action;
  uint64_t epoch = 0;
  std::string text;
  int64_t revision = 0;      // of the store when it was written
  std::string request = {};  // what was asked for, of a "release" that follows a request: "switchover"
  uint64_t timeline = 0;     // that begins with it, as its node is promoted; 0: none does
};
// Oldest first.
Result<std::vector<HistoryLine>> read_history(Dcs& store, const Keys& keys,
                                              Deadline deadline = Deadline::after(std::chrono::seconds(10)));

// One more of them, in a transaction with others: its key is of this moment, its revision that of the store then.
Op history_line(const Keys& keys, const HistoryLine& line);

}  // namespace pgb::dcs
