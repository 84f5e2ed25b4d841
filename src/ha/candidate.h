// Who may lead next, and who is the best of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ha/view.h"

namespace pgb::ha {

// The epoch of the next leader: above every leader's so far, and what was promised to it is kept.
Epoch next_epoch(const ClusterView& view);

// A timeline number that nobody has used.
Timeline next_timeline(const ClusterView& view);

// The node's position is final: it stopped following, promised `epoch`, and its WAL is known, whole and this group's.
bool is_evidence(const ClusterView& view, const NodeView& node, Epoch epoch);

// Its data were made by another initdb than the group's.
bool is_foreign(const ClusterView& view, const NodeView& node);

// There is no /sync, or what it says is older than what the group has done since: the store was emptied, or restored
// from a copy.
bool record_is_stale(const ClusterView& view);

struct Eligibility {
  bool ok = false;
  std::string why;                   // the end of "NODE may [not] lead: …"
  std::vector<std::string> missing;  // nodes whose WAL would have to be seen
  bool operator==(const Eligibility&) const = default;
};

// May `node` lead under `epoch`? In quorum and strict: it is provably at or beyond every acknowledged commit of the
// record. In async: it is not farther behind than the lag limit.
Eligibility eligible(const ClusterView& view, const NodeView& node, Epoch epoch);

// a before b: more WAL, then priority, then name.
bool better(const NodeView& a, const NodeView& b);

// Of those who may lead a goes first: it has room, else it was not known to fail at it, else it is better.
bool goes_first(const Settings& settings, const NodeView& a, const NodeView& b);

// The best of self and the peers heard of lately that have promised `epoch` and are eligible.
std::optional<std::string> best_candidate(const ClusterView& view, Epoch epoch, Time now);

// To whom a leader may hand over: streams (if the leader is up), healthy, has room, may be promoted. `wanted` empty:
// the best. `room`: so much its disk has to have left at least. With nobody `why` names one node and what it lacks.
struct Successor {
  std::optional<std::string> node;
  std::string why;
};
Successor successor(const ClusterView& view, const std::string& wanted, Time now, uint64_t room = 0);

// To whom the role goes only for the room that it has: clearly more than this leader's.
Successor roomy_successor(const ClusterView& view, const std::string& wanted, Time now);

// self or the peer of that name; null if it never published itself.
const NodeView* find_node(const ClusterView& view, const std::string& name);

}  // namespace pgb::ha
