// The arithmetic of quorum commit. `ANY k (S)` puts each acknowledged commit on the leader and on at least k of the n
// members of S. Whoever sees n - k + 1 of them, none of which can confirm anything any more, sees at least one that has
// it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "ha/view.h"

namespace pgb::ha {

// A name that no standby has: commits wait for it.
inline constexpr std::string_view kNobody = "pgbalancer_nobody";

// How many of `members` must confirm, so that a majority of the group has each commit. 0 for none.
unsigned majority_required(size_t members);

// How many members an election must have seen; larger than their number if they alone are never enough.
size_t evidence_needed(const SyncSet& set);

// Every commit that was confirmed by any `by.required` of `by.members` was confirmed by `wanted.required` of
// `wanted.members`.
bool implies(const SyncSet& by, const SyncSet& wanted);
bool implies(const ServerSync& by, const SyncSet& wanted);

// The value of synchronous_standby_names: "", "ANY 1 (\"a\", \"b\")" or, closed, "ANY 1 (pgbalancer_nobody)".
std::string standby_names(const ServerSync& sync);
std::string describe(const SyncSet& set);  // "any 1 of a, b", "the leader alone"

struct SyncStep {
  enum class Kind { kNone, kRecord, kApply } kind = Kind::kNone;
  SyncSet set;
  bool waits = false;  // kNone, because the standbys have not yet all they need to have
  bool operator==(const SyncStep&) const = default;
};

struct SyncFacts {
  std::optional<SyncSet> recorded;  // by this leader in this epoch; none: it has not opened yet
  ServerSync in_effect;
  Lsn since = 0;                       // flushed WAL when that came into effect
  std::map<std::string, Lsn> flushed;  // by standby that streams
  SyncSet wanted;
};

// The next single step towards `wanted`, such that at no moment a commit can be acknowledged that the record does not
// cover: what the record asks for is implied by what is in effect, and by all that was acknowledged before.
SyncStep next_sync_step(const SyncFacts& facts);

}  // namespace pgb::ha
