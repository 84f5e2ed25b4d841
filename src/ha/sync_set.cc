#include "ha/sync_set.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace pgb::ha {
namespace {

using Names = std::vector<std::string>;

size_t outside(const Names& a, const Names& b) {
  return static_cast<size_t>(std::count_if(
      a.begin(), a.end(), [&](const auto& name) { return !std::binary_search(b.begin(), b.end(), name); }));
}

Names both(const Names& a, const Names& b) {
  Names result;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(result));
  return result;
}

Names either(const Names& a, const Names& b) {
  Names result;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(result));
  return result;
}

// All that was acknowledged up to the moment the setting came into effect is on enough members of `set`.
bool caught_up(const SyncFacts& facts, const SyncSet& set) {
  auto have = std::count_if(set.members.begin(), set.members.end(), [&](const auto& name) {
    auto it = facts.flushed.find(name);
    return it != facts.flushed.end() && it->second >= facts.since;
  });
  return static_cast<size_t>(have) >= set.required;
}

SyncStep waiting() { return {SyncStep::Kind::kNone, {}, true}; }
SyncStep record(SyncSet set) { return {SyncStep::Kind::kRecord, std::move(set)}; }
SyncStep apply(SyncSet set) { return {SyncStep::Kind::kApply, std::move(set)}; }

// Members are added before others are taken out, and a lower number is recorded before it is asked for: neither needs
// a standby that may be gone.
SyncStep towards(const SyncFacts& facts, const SyncSet& from) {
  const SyncSet& to = facts.wanted;
  if (from.required == 0) return facts.in_effect == ServerSync{false, to} ? waiting() : apply(to);
  if (Names all = either(from.members, to.members); to.required > 0 && all != from.members) {
    return record({std::move(all), from.required});
  }
  if (from.required > to.members.size()) return record({from.members, from.required - 1});
  SyncSet strict{both(from.members, to.members), std::max(from.required, to.required)};
  return facts.in_effect == ServerSync{false, strict} ? waiting() : apply(std::move(strict));
}

}  // namespace

unsigned majority_required(size_t members) { return static_cast<unsigned>((members + 1) / 2); }

size_t evidence_needed(const SyncSet& set) { return set.members.size() - set.required + 1; }

bool implies(const SyncSet& by, const SyncSet& wanted) {
  return by.required >= wanted.required + outside(by.members, wanted.members) || wanted.required == 0;
}

bool implies(const ServerSync& by, const SyncSet& wanted) { return by.closed || implies(by.set, wanted); }

std::string standby_names(const ServerSync& sync) {
  if (sync.closed) return fmt::format("ANY 1 ({})", kNobody);
  if (sync.set.required == 0) return "";
  return fmt::format("ANY {} (\"{}\")", sync.set.required, fmt::join(sync.set.members, "\", \""));
}

std::string describe(const SyncSet& set) {
  if (set.required == 0) return "the leader alone";
  return fmt::format("any {} of {}", set.required, fmt::join(set.members, ", "));
}

SyncStep next_sync_step(const SyncFacts& facts) {
  const SyncSet& to = facts.wanted;
  bool possible = implies(facts.in_effect, to) && caught_up(facts, to);
  if (!facts.recorded) {
    // Nothing was acknowledged under this epoch, as the server is closed.
    if (!facts.in_effect.closed) return {};
    return possible ? record(to) : waiting();
  }
  const SyncSet& from = *facts.recorded;
  ServerSync as_recorded{false, from};
  if (!implies(facts.in_effect, from)) return apply(from);
  if (from == to) return facts.in_effect == as_recorded ? SyncStep{} : apply(to);
  if (possible || (implies(facts.in_effect, to) && implies(from, to))) return record(to);
  if (facts.in_effect.closed) return apply(from);
  return towards(facts, from);
}

}  // namespace pgb::ha
