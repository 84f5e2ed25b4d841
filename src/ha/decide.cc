#include "ha/decide.h"

#include <fmt/format.h>

#include <algorithm>

#include "ha/candidate.h"
#include "ha/deciding.h"
#include "ha/rejoin.h"

namespace pgb::ha {
namespace {

// It led under its key, and has promised no later leader: others may count on the position that it published with that.
bool may_resume(const ClusterView& view) {
  return holds_key(view) && view.self.led == view.store.leader->epoch && view.self.promised <= view.self.led;
}

bool is_recorded(const ClusterView& view) {
  const auto& record = view.store.sync;
  return record && record->leader == view.self.name && record->epoch == view.self.epoch;
}

State state_of_primary(const ClusterView& view) {
  if (!view.store.reachable) return State::kCutOff;
  if (!holds_key(view) || view.store.leader->epoch != view.self.epoch) return State::kStray;
  return is_recorded(view) ? State::kLeading : State::kOpening;
}

// Since when `needed` of `members` have vouched: the oldest question of the latest `needed` good answers.
Time vouched_since(const ClusterView& view, const std::vector<std::string>& members, size_t needed) {
  std::vector<Time> answers;
  for (const auto& name : members) {
    auto it = view.evidence.find(name);
    if (name == view.self.name || it == view.evidence.end()) continue;
    const Evidence& e = it->second;
    bool vouches = e.contact == Evidence::Contact::kAnswers && !e.store_reachable && e.epoch <= view.self.epoch &&
                   e.failsafe == view.self.epoch;
    if (vouches) answers.push_back(e.asked);
  }
  if (answers.size() < needed) return Time{};
  std::sort(answers.rbegin(), answers.rend());
  return needed == 0 ? Time{} : answers[needed - 1];
}

// Without an order by force: the group is this node, or commits are on it alone, which only it could have changed
// since.
bool nobody_else_may_lead(const ClusterView& view) {
  if (view.members.size() == 1) return view.members.front() == view.self.name;
  bool settled = !view.self.recording && !view.self.applying;
  const auto& record = view.store.sync;  // of any epoch: without it nobody has led since
  return settled && record && record->leader == view.self.name && record->durability != Durability::kAsync &&
         record->set.required == 0;
}

Time failsafe_since(const ClusterView& view) {
  const auto& record = view.store.sync;
  if (is_recorded(view) && record->durability != Durability::kAsync && record->set.required > 0) {
    return vouched_since(view, record->set.members, record->set.required);
  }
  return vouched_since(view, view.members, view.members.size() - 1);
}

}  // namespace

Time covered_until(const ClusterView& view) {
  if (nobody_else_may_lead(view)) return Time::max();
  Time since = std::max(view.self.lease == 0 ? Time{} : view.self.renewed, failsafe_since(view));
  return since + view.settings.lease - view.settings.margin;
}

bool holds_key(const ClusterView& view) {
  const auto& key = view.store.leader;
  return key && key->holder == view.self.name && view.self.lease != 0 && key->lease == view.self.lease;
}

void forget_cover(ClusterView& view, Time woke) {
  if (view.self.renewed < woke) view.self.renewed = Time{};
  std::erase_if(view.evidence, [&](const auto& said) { return said.second.asked < woke; });
}

bool renews(const ClusterView& view, const Decision& decision) {
  const OwnView& self = view.self;
  const bool gives_up = decision.action == Action::kFence || decision.action == Action::kRelease;
  if (self.lease == 0 || gives_up) return false;
  return self.server == Server::kPrimary || (holds_key(view) && self.promised <= view.store.leader->epoch);
}

State state_of(const ClusterView& view) {
  switch (view.self.server) {
    case Server::kAbsent: return State::kAbsent;
    case Server::kBuilding: return State::kBuilding;
    case Server::kStarting: return State::kStarting;
    case Server::kStopped: return may_resume(view) ? State::kDown : State::kStopped;
    case Server::kPrimary: return state_of_primary(view);
    case Server::kStandby: break;
  }
  if (holds_key(view)) return State::kElected;
  return view.self.following ? State::kFollowing : State::kDetached;
}

Decision Look::row(Event event, std::string sentence) const {
  Decision decision;
  decision.state = state;
  decision.event = event;
  decision.sentence = std::move(sentence);
  if (const Row* found = find_row(state, event); found != nullptr) {
    decision.action = found->action;
  } else {
    decision.sentence = fmt::format("BUG: state {} has no row for event {}: {}", to_string(state),
                                    static_cast<int>(event), decision.sentence);
  }
  return decision;
}

bool Look::paused() const {
  bool resumes = store().request && store().request->kind == Request::Kind::kResume;
  return store().paused && !(resumes && self().server != Server::kStandby);
}

const LeaderKey* Look::leader() const {
  const auto& key = store().leader;
  return store().reachable && key && key->holder != self().name ? &*key : nullptr;
}

Decision climb(const Look& look, const NodeView& leader, Epoch epoch, Event on_follow) {
  Rejoin rung = rejoin(look.self(), leader);
  Event event = on_follow;
  std::string verb = "follows";
  if (rung.rung == Rung::kRewind) event = Event::kDiverged, verb = "is rewound to";
  if (rung.rung == Rung::kFullCopy) event = Event::kCopyNeeded, verb = "gets a full copy of";
  if (rung.rung == Rung::kForeign) event = Event::kForeign, verb = "does not touch its data to follow";
  if (look.state == State::kAbsent) event = Event::kLeaderReady;
  auto decision = look.row(event, fmt::format("{} {} {}, leader of epoch {}, because {}", look.self().name, verb,
                                              leader.name, epoch, rung.reason));
  decision.node = leader.name;
  decision.epoch = epoch;
  return decision;
}

Decision decide(const ClusterView& view, Time now) {
  Look look{view, now, state_of(view)};
  switch (look.state) {
    case State::kAbsent:
    case State::kBuilding:
    case State::kStopped:
    case State::kStarting: return decide_startup(look);
    case State::kDown: return decide_down(look);
    case State::kDetached:
    case State::kFollowing: return decide_standby(look);
    case State::kElected: return decide_elected(look);
    case State::kOpening:
    case State::kLeading: return decide_leader(look);
    case State::kCutOff:
    case State::kStray: return decide_uncovered(look);
  }
  return {};
}

}  // namespace pgb::ha
