#include "ha/candidate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "ha/sync_set.h"
#include "ha/words.h"

namespace pgb::ha {
namespace {

template <class F>
void each_node(const ClusterView& view, F f) {
  f(static_cast<const NodeView&>(view.self));
  for (const auto& [name, node] : view.peers) f(node);
}

bool is_member(const SyncRecord& record, const std::string& name) {
  return std::binary_search(record.set.members.begin(), record.set.members.end(), name);
}

bool intact_leader(const ClusterView& view, const NodeView& node, Epoch epoch) {
  const SyncRecord& record = *view.store.sync;
  return node.name == record.leader && node.led >= record.epoch && is_evidence(view, node, epoch);
}

// Which of the heirs' timelines it is on or has been on; none: of no heir.
std::optional<Timeline> inherited(const SyncRecord& record, const NodeView& node) {
  for (const Fork& fork : node.history) {
    auto it = std::find(record.heirs.begin(), record.heirs.end(), fork.timeline);
    if (it != record.heirs.end()) return fork.timeline;
  }
  return std::nullopt;
}

// Of timelines that come one after the other the positions go on counting. Nothing: what `node` had is not known.
std::optional<uint64_t> behind(const NodeView& node, Lsn flushed) {
  const auto& had = node.flushed ? node.flushed : node.was_at;
  if (!had) return std::nullopt;
  return had->lsn > flushed ? had->lsn - flushed : 0;
}

Eligibility by_lag(const ClusterView& view, const NodeView& node) {
  const NodeView* last = find_node(view, view.store.epoch.holder);
  const auto lag = last == nullptr ? std::nullopt : behind(*last, node.flushed->lsn);
  if (!lag || last->name == node.name) return {true, "nothing says it is behind", {}};
  const bool ok = *lag <= view.settings.lag_limit;
  std::string text = fmt::format("it is {} behind what {} published last", bytes(*lag), last->name);
  if (!ok) text += fmt::format(", and no more than {} may be lost", bytes(view.settings.lag_limit));
  return {ok, std::move(text), {}};
}

// Members of the record (or, without one, of the group) whose final position is known and not above that of `node`.
Eligibility by_count(const ClusterView& view, const NodeView& node, Epoch epoch,
                     const std::vector<std::string>& members, size_t needed) {
  Eligibility result;
  size_t seen = 0;
  std::vector<std::string> ahead;
  for (const auto& name : members) {
    const NodeView* other = find_node(view, name);
    bool final = other != nullptr && is_evidence(view, *other, epoch) && other->system_id == node.system_id;
    // Of a promotion under way the record would know, the store that went back does not.
    if (!final || (record_is_stale(view) && other->server == Server::kStarting)) {
      result.missing.push_back(name);
    } else if (*other->flushed > *node.flushed) {
      ahead.push_back(fmt::format("{} at {}", name, to_text(*other->flushed)));
    } else {
      ++seen;
    }
  }
  result.ok = seen >= needed;
  result.why = fmt::format("at {} it is level with {} of the {} nodes it has to be ({})", to_text(*node.flushed), seen,
                           needed, fmt::join(members, ", "));
  if (!result.missing.empty()) result.why += fmt::format("; not heard: {}", fmt::join(result.missing, ", "));
  if (!ahead.empty()) result.why += fmt::format("; ahead of it: {}", fmt::join(ahead, ", "));
  return result;
}

Eligibility without_record(const ClusterView& view, const NodeView& node, Epoch epoch) {
  bool ever_led = false;
  each_node(view, [&](const NodeView& n) {
    ever_led |= n.promised > 0 && (n.led > 0 || n.following || (n.flushed && n.flushed->timeline > 1));
  });
  if (!ever_led) {
    bool founder = node.name == view.self.name && view.self.founder;
    return {founder, founder ? "it founded the group" : "the group's first leader is the node that founded it", {}};
  }
  // The store was emptied or went back: without its record only all nodes together know.
  return by_count(view, node, epoch, view.members, view.members.size());
}

Eligibility by_record(const ClusterView& view, const SyncRecord& record, const NodeView& node, Epoch epoch) {
  if (intact_leader(view, node, epoch)) return {true, fmt::format("it led epoch {}", record.epoch), {}};
  if (auto timeline = inherited(record, node)) {
    return {true, fmt::format("it has timeline {}, whose leader had all that is recorded", *timeline), {}};
  }
  if (!is_member(record, node.name)) {
    return {
        false,
        fmt::format("acknowledged commits are on {} and {}, it is not among them", record.leader, describe(record.set)),
        {record.leader}};
  }
  const NodeView* last = find_node(view, record.leader);
  if (last != nullptr && intact_leader(view, *last, epoch) && *last->flushed <= *node.flushed) {
    return {true, fmt::format("it has all WAL of {}, up to {}", last->name, to_text(*last->flushed)), {}};
  }
  return by_count(view, node, epoch, record.set.members, evidence_needed(record.set));
}

}  // namespace

const NodeView* find_node(const ClusterView& view, const std::string& name) {
  if (name == view.self.name) return &view.self;
  auto it = view.peers.find(name);
  return it == view.peers.end() ? nullptr : &it->second;
}

Epoch next_epoch(const ClusterView& view) {
  Epoch epoch = view.store.epoch.epoch + 1;
  each_node(view, [&](const NodeView& node) {
    epoch = std::max({epoch, node.promised, node.led + 1});
    if (node.following) epoch = std::max(epoch, node.following->epoch + 1);
  });
  return epoch;
}

Timeline next_timeline(const ClusterView& view) {
  Timeline timeline = view.store.epoch.timeline;
  each_node(view, [&](const NodeView& node) {
    if (node.flushed) timeline = std::max(timeline, node.flushed->timeline);
  });
  return timeline + 1;
}

bool is_evidence(const ClusterView& view, const NodeView& node, Epoch epoch) {
  // A store that went back has forgotten who was elected by what was published before.
  bool outdated = view.store.restored && node.name != view.self.name && node.seen < *view.store.restored;
  return !outdated && node.promised >= epoch && node.flushed && node.server != Server::kPrimary &&
         !is_foreign(view, node) && !(node.following && node.following->epoch < epoch);
}

bool is_foreign(const ClusterView& view, const NodeView& node) {
  const std::string& ours = view.store.epoch.system_id;
  return !ours.empty() && !node.system_id.empty() && node.system_id != ours;
}

bool record_is_stale(const ClusterView& view) {
  if (!view.store.sync) return true;
  bool newer = false;  // a leader's timeline stands in /epoch before it begins
  each_node(view, [&](const NodeView& n) {
    newer |= n.flushed && n.flushed->timeline > view.store.epoch.timeline && !is_foreign(view, n);
  });
  return view.store.restored.has_value() || newer;
}

Eligibility eligible(const ClusterView& view, const NodeView& node, Epoch epoch) {
  if (node.priority == 0) return {false, "its priority is 0", {}};
  if (!node.flushed) return {false, "its WAL is not whole or not known", {}};
  if (is_foreign(view, node)) {
    return {false,
            fmt::format("its data are another group's: system identifier {}, not {}", node.system_id,
                        view.store.epoch.system_id),
            {}};
  }
  if (node.health != Health::kGood) return {false, "it does not answer", {}};
  if (node.free_disk < view.settings.full_disk) {
    return {false, fmt::format("its disk has {} left", bytes(node.free_disk)), {}};
  }
  const auto& record = view.store.sync;
  if (record && record->durability == Durability::kAsync) return by_lag(view, node);
  if (record_is_stale(view)) return without_record(view, node, epoch);
  return by_record(view, *record, node, epoch);
}

bool better(const NodeView& a, const NodeView& b) {
  if (a.flushed != b.flushed) return a.flushed > b.flushed;
  if (a.priority != b.priority) return a.priority > b.priority;
  return a.name < b.name;
}

bool goes_first(const Settings& settings, const NodeView& a, const NodeView& b) {
  const bool has_room = a.free_disk >= settings.min_free_disk;
  if (has_room != (b.free_disk >= settings.min_free_disk)) return has_room;
  const bool fails = a.failed_promotions > 0;
  return fails != (b.failed_promotions > 0) ? !fails : better(a, b);
}

std::optional<std::string> best_candidate(const ClusterView& view, Epoch epoch, Time now) {
  const NodeView* best = nullptr;
  each_node(view, [&](const NodeView& node) {
    bool mine = &node == &view.self;
    if (!mine && (now - node.seen > view.settings.fresh || node.promised < epoch)) return;
    if (node.server != Server::kStandby || !eligible(view, node, epoch).ok) return;
    if (best == nullptr || goes_first(view.settings, node, *best)) best = &node;
  });
  return best == nullptr ? std::nullopt : std::optional(best->name);
}

namespace {

// In async whoever is farther behind than that takes over from nobody, whatever may be wrong with the leader. A clean
// stop gives those that stream all there is, before they can have said so: they go by its end themselves.
std::string too_far_behind(const ClusterView& view, const NodeView& node) {
  if (view.self.server != Server::kPrimary && view.self.flushed) return "";
  const auto& record = view.store.sync;
  const auto link = view.self.links.find(node.name);
  const Lsn confirmed = link == view.self.links.end() ? 0 : link->second.flushed;
  const auto lag = behind(view.self, std::max(node.flushed->lsn, confirmed));
  if (!record || record->durability != Durability::kAsync || !lag || *lag <= view.settings.lag_limit) return "";
  return fmt::format("is {} behind, and no more than {} may be lost", bytes(*lag), bytes(view.settings.lag_limit));
}

// A leader with room hands over to nobody that has none.
uint64_t least_room(const ClusterView& view) {
  const Settings& settings = view.settings;
  return view.self.free_disk >= settings.min_free_disk ? settings.min_free_disk : settings.full_disk;
}

// Why `node` cannot take over from this leader; empty: it can.
std::string obstacle(const ClusterView& view, const NodeView& node, Time now, uint64_t room) {
  const Settings& settings = view.settings;
  if (now - node.seen > settings.fresh) return "was not heard of lately";
  if (node.server != Server::kStandby || node.health != Health::kGood) return "has no standby that answers";
  if (node.priority == 0) return "has priority 0";
  if (!node.flushed) return "has WAL that is not whole";
  if (node.free_disk < std::max(room, least_room(view)))
    return fmt::format("has {} of disk left", bytes(node.free_disk));
  const auto& record = view.store.sync;
  if (record && record->durability != Durability::kAsync && !is_member(*record, node.name)) {
    return fmt::format("is not among those that have each commit ({})", describe(record->set));
  }
  if (std::string lag = too_far_behind(view, node); !lag.empty()) return lag;
  // Nothing streams from a leader that is down; those who followed it may still elect one of them.
  if (view.self.server != Server::kPrimary) return "";
  auto link = view.self.links.find(node.name);
  return link != view.self.links.end() && link->second.streaming ? "" : "does not stream";
}

}  // namespace

Successor successor(const ClusterView& view, const std::string& wanted, Time now, uint64_t room) {
  Successor result{std::nullopt, wanted.empty() ? "there is no other node" : fmt::format("{} is not known", wanted)};
  const NodeView* best = nullptr;
  for (const auto& [name, node] : view.peers) {
    if (!wanted.empty() && name != wanted) continue;
    if (std::string why = obstacle(view, node, now, room); !why.empty()) {
      result.why = fmt::format("{} {}", name, why);
    } else if (best == nullptr || goes_first(view.settings, node, *best)) {
      best = &node;
    }
  }
  if (best != nullptr) result = {best->name, ""};
  return result;
}

Successor roomy_successor(const ClusterView& view, const std::string& wanted, Time now) {
  const Settings& settings = view.settings;
  const bool full = view.self.free_disk < settings.full_disk;
  return successor(view, wanted, now, full ? settings.min_free_disk : 2 * settings.min_free_disk);
}

}  // namespace pgb::ha
