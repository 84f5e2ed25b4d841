#include "ha/rejoin.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "ha/words.h"

namespace pgb::ha {
namespace {

constexpr int kRewinds = 2;

// Where `timeline` began, by that history.
std::optional<Lsn> begin_of(const std::vector<Fork>& history, Timeline timeline) {
  auto it = std::find_if(history.begin(), history.end(), [&](const Fork& f) { return f.timeline == timeline; });
  return it == history.end() ? std::nullopt : std::optional(it->begin);
}

// Where the leader's history left `timeline`; none if it is still on it.
std::optional<Lsn> end_of(const std::vector<Fork>& history, Timeline timeline) {
  auto it = std::find_if(history.begin(), history.end(), [&](const Fork& f) { return f.timeline > timeline; });
  return it == history.end() ? std::nullopt : std::optional(it->begin);
}

Rejoin rewind_or_copy(const NodeView& self, std::string reason) {
  if (self.failed_rewinds < kRewinds) return {Rung::kRewind, std::move(reason)};
  return {Rung::kFullCopy, fmt::format("{}, and pg_rewind failed {} times", reason, self.failed_rewinds)};
}

Rejoin by_history(const NodeView& self, const NodeView& leader) {
  Timeline mine = self.flushed->timeline;
  auto begin = begin_of(leader.history, mine);
  if (!begin) {
    return rewind_or_copy(self, fmt::format("its timeline {} is not in the history of {}", mine, leader.name));
  }
  if (*begin != begin_of(self.history, mine)) {
    // pg_rewind goes by numbers of timelines and would see nothing to do.
    return {Rung::kFullCopy, fmt::format("its timeline {} began elsewhere than that of {}", mine, leader.name)};
  }
  auto end = end_of(leader.history, mine);
  if (end && self.flushed->lsn > *end) {
    return rewind_or_copy(self, fmt::format("it has {} of timeline {} after {}, where {} left it",
                                            bytes(self.flushed->lsn - *end), mine, to_text(*end), leader.name));
  }
  return {Rung::kFollow, fmt::format("its WAL at {} is a part of that of {}", to_text(*self.flushed), leader.name)};
}

}  // namespace

Rejoin rejoin(const NodeView& self, const NodeView& leader) {
  if (self.server == Server::kAbsent) return {Rung::kFullCopy, "it has no data directory"};
  if (!self.system_id.empty() && self.system_id != leader.system_id) {
    return {Rung::kForeign, fmt::format("its system identifier {} is not {}, that of {}", self.system_id,
                                        leader.system_id, leader.name)};
  }
  if (self.server == Server::kBuilding) return {Rung::kFullCopy, "an earlier rewind or copy was broken off"};
  if (self.trouble == Trouble::kWalRemoved) {
    return {Rung::kFullCopy, fmt::format("{} no longer has the WAL that it needs", leader.name)};
  }
  if (self.trouble == Trouble::kDiverged) {
    return rewind_or_copy(self, fmt::format("its WAL is not a part of that of {}", leader.name));
  }
  if (!self.flushed) return {Rung::kFollow, "its own WAL has yet to be read"};
  return by_history(self, leader);
}

}  // namespace pgb::ha
