// Why there is no leader: what each node lacks, and what it would cost to force one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ha/view.h"

namespace pgb::ha {

struct Candidacy {
  std::string node;
  bool may_lead = false;
  std::string reason;  // the sentence of what holds it back, or why it may
  // If failover is forced to it. Empty: nothing acknowledged is lost.
  std::string cost;
  // Bytes of WAL that another was known to have, by what it published last, and this one has not; none: not known.
  std::optional<uint64_t> behind;
  bool operator==(const Candidacy&) const = default;
};

struct Why {
  std::string summary;                // one sentence
  std::vector<Candidacy> candidates;  // every member, the best to force first
  bool operator==(const Why&) const = default;
};

// What the commits of this node, a primary, wait for though it is not there; empty: for nothing, or it is none.
std::string commits_wait(const OwnView& self);

// From what one agent knows. With a leader the summary names it and `candidates` tells who could follow it.
Why why(const ClusterView& view, Time now);

}  // namespace pgb::ha
