// A leader's standbys: which of them must have a commit, recorded first.
#include <fmt/format.h>

#include <algorithm>

#include "ha/candidate.h"
#include "ha/deciding.h"
#include "ha/sync_set.h"
#include "ha/words.h"

namespace pgb::ha {
namespace {

bool in(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string> recorded_members(const Look& look) {
  if (look.state != State::kLeading) return {};
  return look.store().sync->set.members;
}

bool belongs(const Look& look, const std::string& name, const Link& link) {
  const auto& request = look.store().request;
  bool leaves =
      look.state == State::kLeading && request && request->kind == Request::Kind::kReinit && request->node == name;
  const NodeView* node = find_node(look.view, name);
  if (leaves || !in(look.view.members, name) || (node != nullptr && node->priority == 0)) return false;
  if (node != nullptr && node->server == Server::kBuilding) return false;  // it has no data, whatever streamed last
  bool near = link.flushed + look.settings().near >= look.self().flushed.value_or(Position{}).lsn;
  if (link.streaming) return near || in(recorded_members(look), name);
  return in(recorded_members(look), name) && look.now - link.since < look.settings().drop_after;
}

// Nobody has streamed for so long that a leader in quorum mode goes on alone.
bool may_degrade(const Look& look) {
  if (look.settings().durability != Durability::kQuorum) return false;
  // Nothing was ever acknowledged: nothing to protect yet. Or all that was is on this node alone, because it was so
  // before, or because a user forced it: nobody is waited for who could make it any safer.
  const auto& record = look.store().sync;
  const bool alone = record && record->leader == look.self().name && record->set.required == 0;
  if (record && (record->epoch == 0 || alone)) return true;
  Time since = look.self().up_since;
  for (const auto& [name, link] : look.self().links) since = std::max(since, link.since);
  return look.now - since >= look.settings().degrade_after;
}

SyncSet wanted(const Look& look) {
  SyncSet set;
  for (const auto& [name, link] : look.self().links) {
    if (belongs(look, name, link)) set.members.push_back(name);
  }
  unsigned most = static_cast<unsigned>(set.members.size());
  unsigned asked = look.settings().required;
  set.required = asked == 0 ? majority_required(most) : std::min(asked, most);
  return set;
}

Decision record(const Look& look, SyncSet set) {
  auto decision = look.row(
      Event::kRecord, fmt::format("{} records that commits are on itself and {}", look.self().name, describe(set)));
  decision.record = SyncRecord{look.self().name, look.self().epoch, look.settings().durability, set, 0};
  decision.sync = {false, std::move(set)};
  decision.soon = true;
  return decision;
}

Decision apply(const Look& look, ServerSync sync) {
  auto decision = look.row(
      Event::kApply, fmt::format("{} sets synchronous_standby_names = '{}'", look.self().name, standby_names(sync)));
  decision.sync = std::move(sync);
  decision.soon = true;
  return decision;
}

Decision at_rest(const Look& look, const SyncSet& set) {
  return look.row(look.state == State::kLeading ? Event::kNothing : Event::kWaitsForCopies,
                  fmt::format("{} leads epoch {}, commits are on itself and {}", look.self().name, look.self().epoch,
                              describe(set)));
}

Decision waits(const Look& look, const std::string& why) {
  return look.row(Event::kWaitsForCopies, fmt::format("{} leads epoch {}{}, {}", look.self().name, look.self().epoch,
                                                      look.state == State::kOpening ? ", closed" : "", why));
}

Decision without_sync(const Look& look) {
  bool recorded = look.state == State::kLeading && look.store().sync->durability == Durability::kAsync;
  if (!recorded) return record(look, {});
  if (look.self().sync != ServerSync{false, {}}) return apply(look, {false, {}});
  return at_rest(look, {});
}

}  // namespace

bool is_last_copy(const Look& look, const std::string& name) {
  if (look.settings().durability != Durability::kStrict || !in(recorded_members(look), name)) return false;
  const auto& links = look.self().links;
  return std::none_of(links.begin(), links.end(),
                      [&](const auto& link) { return link.first != name && belongs(look, link.first, link.second); });
}

namespace {

Decision next_step(const Look& look) {
  if (look.settings().durability == Durability::kAsync) return without_sync(look);
  SyncFacts facts{std::nullopt, look.self().sync, look.self().sync_since, {}, wanted(look)};
  bool opening = look.state == State::kOpening;
  if (!opening) facts.recorded = look.store().sync->set;
  // Strict never acknowledges by itself alone, also if an earlier setting did.
  bool alone = look.settings().durability == Durability::kStrict && !opening && facts.recorded->required == 0;
  if ((opening || alone) && !facts.in_effect.closed) return apply(look, {true, {}});
  for (const auto& [name, link] : look.self().links) {
    if (link.streaming) facts.flushed[name] = link.flushed;
  }
  if (facts.wanted.members.empty() && !may_degrade(look)) {
    if (opening || alone) return waits(look, "no standby streams yet");
    facts.wanted = *facts.recorded;
  }
  if (!opening && look.store().sync->durability == Durability::kAsync) return record(look, *facts.recorded);
  SyncStep step = next_sync_step(facts);
  if (step.kind == SyncStep::Kind::kRecord) return record(look, step.set);
  if (step.kind == SyncStep::Kind::kApply) return apply(look, {false, step.set});
  if (step.waits)
    return waits(look, fmt::format("until {} have all up to {}", describe(facts.wanted), to_text(facts.since)));
  return at_rest(look, *facts.recorded);
}

}  // namespace

// One thing at a time: what is in effect while a record comes late, or recorded while a setting does, is not known.
Decision decide_sync(const Look& look) {
  const OwnView& self = look.self();
  // All that was acknowledged is here, whatever else was recorded before the store went back.
  if (look.store().restored) return record(look, {});
  if (self.applying) return apply(look, *self.applying);
  Decision step = next_step(look);
  bool closes = step.action == Action::kApplySync && step.sync.closed;
  if (!self.recording || closes || step.action == Action::kRecordSync) return step;
  if (look.state == State::kLeading) return record(look, look.store().sync->set);
  return waits(look, "until it is known whether what it recorded last came to be");
}

}  // namespace pgb::ha
