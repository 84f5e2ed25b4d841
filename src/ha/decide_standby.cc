// A standby: follows a leader, elects one, or becomes one.
#include <fmt/format.h>

#include <algorithm>

#include "ha/candidate.h"
#include "ha/deciding.h"
#include "ha/rejoin.h"
#include "ha/words.h"

namespace pgb::ha {
namespace {

// More leaders than there can have been that nobody here knows of. Each timeline costs the agent a small file.
constexpr Epoch kUnknownEpochs = 1000;
constexpr Timeline kUnknownTimelines = 100;

bool asked(const Look& look, Request::Kind kind) { return look.store().request && look.store().request->kind == kind; }

// Within the time that the user gave it: who is up only later must not do what nobody may want any more.
bool failover_asked(const Look& look) {
  return asked(look, Request::Kind::kFailover) && look.now < look.store().request->deadline;
}

// What is known of the key's holder since `after`. A key at the epoch that this node promised was taken after that
// promise: older news is of the time before.
bool recent(const Look& look, const LeaderKey& key, Time when) {
  return look.now - when <= look.settings().fresh &&
         (key.epoch < look.self().promised || when > look.self().promised_at);
}

// Two observers, self among them or not, found the holder's agent gone; a user who asks for a failover is one. Nobody
// is believed who says so of an agent that answers this one.
bool refused(const Look& look, const LeaderKey& key) {
  using Contact = Evidence::Contact;
  int observers = failover_asked(look) ? 1 : 0;
  auto it = look.view.evidence.find(key.holder);
  if (it != look.view.evidence.end() && recent(look, key, it->second.asked)) {
    if (it->second.contact == Contact::kAnswers) return false;
    if (it->second.contact == Contact::kRefused) ++observers;
  }
  for (const auto& [name, peer] : look.view.peers) {
    bool says = std::find(peer.refused.begin(), peer.refused.end(), key.holder) != peer.refused.end();
    if (name != key.holder && says && recent(look, key, peer.seen)) ++observers;
  }
  return observers >= 2;
}

// Why there is no leader to follow; empty: there is one.
std::string leaderless(const Look& look) {
  const auto& key = look.store().leader;
  if (!key) return "nobody holds the leader key";
  if (key->holder == look.self().name) return "the leader key is its own, from before its agent was restarted";
  if (refused(look, *key)) {
    return fmt::format("the agent of {} refuses connections, seen by two, so its server is down", key->holder);
  }
  return "";
}

// The last leader is not waited for where others have each commit, too: it is what is replaced.
bool all_heard(const Look& look, Epoch epoch) {
  const auto& record = look.store().sync;
  const bool copied = record && record->durability != Durability::kAsync && record->set.required > 0;
  return std::all_of(look.view.members.begin(), look.view.members.end(), [&](const auto& name) {
    if (copied && name == record->leader && name == look.store().epoch.holder) return true;
    const NodeView* node = find_node(look.view, name);
    return node != nullptr && is_evidence(look.view, *node, epoch);
  });
}

Decision acquire(const Look& look, Event event, Epoch epoch, std::string sentence) {
  auto decision = look.row(event, std::move(sentence));
  decision.epoch = epoch;
  decision.timeline = next_timeline(look.view);
  decision.soon = true;
  if (look.store().sync && look.store().sync->durability != Durability::kAsync) {
    decision.record = look.store().sync;
    decision.record->heirs.push_back(decision.timeline);
  }
  return decision;
}

// From here on all there is, is what this node has: also if it is gone before it opens.
void inherit_all(const Look& look, Decision& decision) {
  const OwnView& self = look.self();
  const auto& before = look.store().sync;
  decision.record = SyncRecord{self.name, decision.epoch - 1, look.settings().durability, {}, 0, {decision.timeline}};
  // A `led` written before the transaction proves nothing of a record that names this node already: there its position
  // has to, should the promotion fail.
  const bool named = before && before->leader == self.name && self.led < before->epoch;
  if (named) decision.record->set = {{self.name}, 1};
  if (!named) decision.led = decision.epoch - 1;
}

Decision force(const Look& look, Epoch epoch, const Eligibility& mine) {
  auto decision =
      acquire(look, Event::kForced, epoch,
              fmt::format("{} takes epoch {} because failover was forced, although {}: what was acknowledged "
                          "beyond {} is lost",
                          look.self().name, epoch, mine.why, to_text(*look.self().flushed)));
  decision.lossy = true;
  if (record_is_stale(look.view)) {  // others may have used any number since, and may come back with it
    decision.epoch += kUnknownEpochs;
    decision.timeline += kUnknownTimelines;
  }
  inherit_all(look, decision);
  return decision;
}

bool forced_to_me(const Look& look) {
  if (!failover_asked(look) || !look.store().request->force) return false;
  if (!look.self().flushed || is_foreign(look.view, look.self())) return false;
  const std::string& wanted = look.store().request->node;
  if (!wanted.empty()) return wanted == look.self().name;
  return std::none_of(look.view.peers.begin(), look.view.peers.end(), [&](const auto& entry) {
    const NodeView& peer = entry.second;
    return look.now - peer.seen <= look.settings().fresh && peer.server == Server::kStandby &&
           better(peer, look.self());
  });
}

// Who could not be promoted lets others try, and by itself tries again less and less often: each time costs an epoch
// and a timeline.
Duration after_failures(const Look& look) {
  const int failed = look.self().failed_promotions;
  if (failed == 0 || failover_asked(look)) return Duration{0};
  return look.settings().turn * (1 << std::min(failed - 1, 3));
}

Decision elect(const Look& look, const std::string& why) {
  const OwnView& self = look.self();
  Epoch epoch = next_epoch(look.view);
  // What was promised before is of no use to a store that does not know whom it elected by it.
  if (look.store().restored && self.promised_at < *look.store().restored) ++epoch;
  if (self.promised < epoch || self.following) {
    auto decision = look.row(
        self.following ? Event::kLeaderGone : Event::kPromiseNeeded,
        fmt::format("{} stops following for good any leader below epoch {}, because {}", self.name, epoch, why));
    decision.epoch = epoch;
    decision.soon = true;
    return decision;
  }
  Duration waited = std::chrono::duration_cast<Duration>(look.now - self.promised_at);
  const Settings& settings = look.settings();
  Eligibility mine = eligible(look.view, self, epoch);
  auto best = best_candidate(look.view, epoch, look.now);
  auto others_turn = [&](std::string text) { return look.row(Event::kOthersTurn, std::move(text)); };
  if (!mine.ok) {
    if (forced_to_me(look) && waited >= settings.collect && !best) return force(look, epoch, mine);
    return look.row(Event::kNotEligible, fmt::format("{} may not lead epoch {}: {}", self.name, epoch, mine.why));
  }
  const std::string& transfer = look.store().transfer;
  bool named = transfer == self.name;
  if (!named && !transfer.empty() && waited < settings.turn) {
    return others_turn(fmt::format("{} leaves epoch {} to {}, named by the last leader", self.name, epoch, transfer));
  }
  if (!named && waited < settings.collect && !all_heard(look, epoch)) {
    return others_turn(fmt::format("{} waits {} for news of more nodes", self.name, seconds(settings.collect)));
  }
  if (!named && best != self.name && waited < settings.turn) {
    return others_turn(fmt::format("{} leaves epoch {} to {}, which is the better candidate", self.name, epoch,
                                   best.value_or("another")));
  }
  if (const Duration patience = after_failures(look); !named && waited < patience) {
    return others_turn(fmt::format("{} waits {} for another to take epoch {}, because its promotion failed before",
                                   self.name, seconds(patience), epoch));
  }
  auto decision = acquire(look, Event::kBest, epoch,
                          fmt::format("{} takes epoch {}, because {} and {}", self.name, epoch, why, mine.why));
  if (record_is_stale(look.view)) inherit_all(look, decision);
  return decision;
}

// In a pause a primary goes on without its lease, so that nobody else may lead before it has let go itself: for a
// switchover, or because it is the one that asks, its agent having been restarted.
bool may_elect_in_pause(const Look& look) {
  const StoreView& store = look.store();
  if (asked(look, Request::Kind::kSwitchover) && !store.transfer.empty()) return true;
  bool mine = store.sync && store.sync->leader == look.self().name && look.self().led >= store.sync->epoch;
  return mine && store.epoch.holder == look.self().name;
}

// Clients wait until a standby streams from the new primary: it may do so while that one is being promoted. What both
// have is read for good, so that no more can come than what the elected one has. Whom the record names has every
// commit, and is the way out if that one is lost before it opens: it keeps that it led.
bool may_follow_early(const Look& look, const NodeView& leader, Epoch epoch) {
  const OwnView& self = look.self();
  auto at_rest = [&](const NodeView& node) { return node.flushed && node.promised >= epoch && !node.following; };
  const bool stands = leader.server == Server::kStandby || leader.server == Server::kStarting;
  if (look.view.store.sync && look.view.store.sync->leader == self.name) return false;
  return look.state == State::kDetached && stands && leader.health == Health::kGood && self.trouble == Trouble::kNone &&
         at_rest(self) && at_rest(leader) && self.flushed->timeline == leader.flushed->timeline &&
         self.flushed->lsn <= leader.flushed->lsn && rejoin(self, leader).rung == Rung::kFollow;
}

Decision under_leader(const Look& look, const LeaderKey& key) {
  const OwnView& self = look.self();
  if (key.epoch < self.promised) {
    return look.row(Event::kLeaderNotReady, fmt::format("{} promised epoch {} and waits for {} to raise its own, {}",
                                                        self.name, self.promised, key.holder, key.epoch));
  }
  const NodeView* leader = find_node(look.view, key.holder);
  if (leader == nullptr || leader->server != Server::kPrimary || leader->epoch != key.epoch) {
    if (leader != nullptr && may_follow_early(look, *leader, key.epoch)) {
      return climb(look, *leader, key.epoch, Event::kLeaderReady);
    }
    return look.row(Event::kLeaderNotReady, fmt::format("{} waits for {}, elected for epoch {}, to be a primary",
                                                        self.name, key.holder, key.epoch));
  }
  if (auto decision = reinit_asked(look, *leader)) return *decision;
  bool follows = self.following == Following{key.holder, key.epoch};
  if (follows && self.trouble == Trouble::kNone) {
    return look.row(Event::kStreams, fmt::format("{} follows {} under epoch {}{}", self.name, key.holder, key.epoch,
                                                 self.streaming ? "" : ", not streaming yet"));
  }
  return climb(look, *leader, key.epoch, Event::kLeaderReady);
}

}  // namespace

Decision decide_standby(const Look& look) {
  const OwnView& self = look.self();
  if (!look.store().reachable) {
    return look.row(Event::kStoreSilent, fmt::format("the store is silent: {} goes on as it is", self.name));
  }
  std::string gone = leaderless(look);
  if (gone.empty()) return under_leader(look, *look.store().leader);
  if (look.paused() && !may_elect_in_pause(look)) {
    return look.row(Event::kPaused, fmt::format("paused: no election, although {}", gone));
  }
  if (look.now < self.vouched_until) {
    return look.row(Event::kVouched, fmt::format("{} vouched for the leader {} ago, which may still lead", self.name,
                                                 seconds(look.settings().lease)));
  }
  return elect(look, gone);
}

}  // namespace pgb::ha
