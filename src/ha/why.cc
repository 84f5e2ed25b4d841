#include "ha/why.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "ha/candidate.h"
#include "ha/sync_set.h"
#include "ha/words.h"

namespace pgb::ha {
namespace {

std::string cost_of(const ClusterView& view, const NodeView& node, const Eligibility& may) {
  if (may.ok) return "";
  if (!node.flushed) return "it cannot be forced: its WAL is not whole";
  const auto& record = view.store.sync;
  if (record && record->durability == Durability::kAsync)
    return fmt::format("commits after {}: {}", to_text(*node.flushed), may.why);
  std::string beyond = fmt::format("every acknowledged commit after {}", to_text(*node.flushed));
  if (may.missing.empty()) return beyond;
  return fmt::format("{} that is only on {}", beyond, fmt::join(may.missing, ", "));
}

// Of timelines that come one after the other the positions go on counting.
std::optional<uint64_t> behind(const ClusterView& view, const NodeView& node) {
  if (!node.flushed) return std::nullopt;
  uint64_t most = node.flushed->lsn;
  auto take = [&](const NodeView& other) {
    const auto& had = other.flushed ? other.flushed : other.was_at;
    if (had && *had > *node.flushed) most = std::max(most, had->lsn);
  };
  take(view.self);
  for (const auto& [name, peer] : view.peers) take(peer);
  return most - node.flushed->lsn;
}

Candidacy candidacy(const ClusterView& view, const std::string& name, Time now) {
  const NodeView* node = find_node(view, name);
  if (node == nullptr)
    return {name, false, fmt::format("{} was never heard of", name), "it cannot be forced: nothing is known of it", {}};
  Eligibility may = eligible(view, *node, next_epoch(view));
  Candidacy result{name, may.ok, fmt::format("{} {} lead: {}", name, may.ok ? "may" : "may not", may.why),
                   cost_of(view, *node, may), behind(view, *node)};
  auto age = std::chrono::duration_cast<Duration>(now - node->seen);
  if (name != view.self.name && age > view.settings.fresh) {
    result.may_lead = false;
    result.reason = fmt::format("{} was last heard of {} ago: start it", name, seconds(age));
  }
  return result;
}

std::string summary(const ClusterView& view, const std::vector<Candidacy>& candidates) {
  const StoreView& store = view.store;
  if (!store.reachable) return "the store is silent: without it nobody can be elected";
  if (store.leader) {
    const std::string waits = store.leader->holder == view.self.name ? commits_wait(view.self) : "";
    return fmt::format("{} leads under epoch {}{}{}", store.leader->holder, store.leader->epoch,
                       waits.empty() ? "" : "; ", waits);
  }
  if (store.paused) return "nobody leads, and the group is paused: resume it";
  auto can = std::find_if(candidates.begin(), candidates.end(), [](const Candidacy& c) { return c.may_lead; });
  if (can != candidates.end()) return fmt::format("nobody leads yet; {} may", can->node);
  if (record_is_stale(view)) return "nobody leads, and the store does not know who did: bring all nodes back";
  return fmt::format("nobody leads: acknowledged commits are on {} and {}; bring {}, or {} of these, back",
                     store.sync->leader, describe(store.sync->set), store.sync->leader,
                     evidence_needed(store.sync->set));
}

}  // namespace

std::string commits_wait(const OwnView& self) {
  if (self.server != Server::kPrimary) return "";
  if (self.sync.closed) return "no commit is acknowledged before a standby has all that it has";
  const auto& members = self.sync.set.members;
  const auto streams = std::count_if(members.begin(), members.end(), [&](const auto& name) {
    const auto link = self.links.find(name);
    return link != self.links.end() && link->second.streaming;
  });
  if (static_cast<size_t>(streams) >= self.sync.set.required) return "";
  return fmt::format("commits wait for {}, of whom {} stream", describe(self.sync.set), streams);
}

Why why(const ClusterView& view, Time now) {
  Why result;
  for (const auto& name : view.members) result.candidates.push_back(candidacy(view, name, now));
  std::stable_sort(result.candidates.begin(), result.candidates.end(), [&](const Candidacy& a, const Candidacy& b) {
    const NodeView* left = find_node(view, a.node);
    const NodeView* right = find_node(view, b.node);
    if (left == nullptr || right == nullptr) return left != nullptr && right == nullptr;
    return a.may_lead != b.may_lead ? a.may_lead : better(*left, *right);
  });
  result.summary = summary(view, result.candidates);
  return result;
}

}  // namespace pgb::ha
