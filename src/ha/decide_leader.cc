// A running primary: stop if it must, else hand over if it should, else see to its standbys.
#include <fmt/format.h>

#include <algorithm>

#include "ha/candidate.h"
#include "ha/deciding.h"
#include "ha/sync_set.h"
#include "ha/words.h"

namespace pgb::ha {
namespace {

Epoch highest_promise(const Look& look) {
  Epoch highest = look.self().promised;
  for (const auto& [name, peer] : look.view.peers) highest = std::max(highest, peer.promised);
  for (const auto& [name, said] : look.view.evidence) highest = std::max(highest, said.epoch);
  return highest;
}

Decision reacquire(const Look& look, Event event, const std::string& why) {
  const OwnView& self = look.self();
  Epoch epoch = std::max({self.epoch, highest_promise(look), look.store().epoch.epoch});
  auto decision =
      look.row(event, fmt::format("{}, primary of epoch {}, takes epoch {}: {}", self.name, self.epoch, epoch, why));
  decision.epoch = decision.led = epoch;
  decision.timeline = self.flushed ? self.flushed->timeline : 0;
  const auto& record = look.store().sync;
  if (record_is_stale(look.view)) {
    // All that was acknowledged is here, whatever else was recorded.
    decision.record = SyncRecord{self.name, epoch, look.settings().durability, {}, 0};
  } else if (record->leader == self.name) {
    decision.record = SyncRecord{self.name, epoch, record->durability, record->set, 0};
  }
  decision.soon = true;
  return decision;
}

std::string why_late(const Look& look) {
  auto silent = std::chrono::duration_cast<Duration>(look.now - look.self().renewed);
  if (look.self().lease == 0) return "it has no lease";
  if (look.self().renewed == Time{}) return "its machine was suspended, and its lease may have run out";
  return fmt::format("its lease of {} was renewed {} ago", seconds(look.settings().lease), seconds(silent));
}

Decision fence_late(const Look& look) {
  return look.row(Event::kLate, fmt::format("{} stops its server: {}, and the members it needs do not vouch for it",
                                            look.self().name, why_late(look)));
}

// A newer leader than this one; empty: none is known.
std::string replaced_by(const Look& look) {
  const StoreView& store = look.store();
  if (store.epoch.epoch > look.self().epoch && store.epoch.holder != look.self().name) {
    return fmt::format("{} holds epoch {}", store.epoch.holder, store.epoch.epoch);
  }
  for (const auto& [name, peer] : look.view.peers) {
    if (peer.server == Server::kPrimary && peer.epoch > look.self().epoch) {
      return fmt::format("{} is primary of epoch {}", name, peer.epoch);
    }
  }
  return "";
}

Decision fence_replaced(const Look& look, const std::string& by) {
  return look.row(Event::kReplaced, fmt::format("{}, primary of epoch {}, stops its server: {}", look.self().name,
                                                look.self().epoch, by));
}

// Nobody can take over from a server that hangs. What has hung for so long does not come back by itself.
std::optional<Decision> revive(const Look& look, const std::string& why_nobody) {
  const OwnView& self = look.self();
  const bool writes = self.health != Health::kStalled;
  const Duration patience = writes ? look.settings().revive_after : look.settings().revive_stalled_after;
  if (look.now < self.well_at + patience) return std::nullopt;
  return look.row(Event::kStalled,
                  fmt::format("{} stops its server, to start it again: it has {} for {}, and {}", self.name,
                              writes ? "answered nothing" : "written nothing", seconds(patience), why_nobody));
}

// Trouble that another node would not have.
std::optional<Decision> in_trouble(const Look& look) {
  const OwnView& self = look.self();
  bool stalled = self.health != Health::kGood;
  bool full = self.free_disk < look.settings().min_free_disk;
  if (look.paused() || (!stalled && !full)) return std::nullopt;
  Successor next = stalled ? successor(look.view, "", look.now) : roomy_successor(look.view, "", look.now);
  if (!next.node) return stalled ? revive(look, next.why) : std::nullopt;
  std::string what = stalled ? "its server does not write" : fmt::format("its disk has {} left", bytes(self.free_disk));
  return look.row(stalled ? Event::kStalled : Event::kDiskFull,
                  fmt::format("{} stops its server, so that {} leads: {}", self.name, *next.node, what));
}

Decision settle(const Look& look, std::string sentence) {
  return look.row(Event::kRequestSettled, std::move(sentence));
}

std::optional<Decision> switchover(const Look& look, const Request& request) {
  const OwnView& self = look.self();
  if (request.node == self.name) {
    if (self.sync.closed && look.now < request.deadline) return std::nullopt;  // commits wait: opening comes first
    return settle(look, fmt::format("switchover done: {} leads under epoch {}", self.name, self.epoch));
  }
  if (look.now >= request.deadline) {
    return settle(look,
                  fmt::format("switchover given up: its time is over, {} leads under epoch {}", self.name, self.epoch));
  }
  Successor next = successor(look.view, request.node, look.now);
  if (!next.node) return settle(look, fmt::format("switchover refused: {}; {} goes on leading", next.why, self.name));
  if (!self.checkpointed) {
    auto decision =
        look.row(Event::kSwitchoverPrepare, fmt::format("switchover from {} to {}: a checkpoint first, while "
                                                        "writes go on",
                                                        self.name, *next.node));
    decision.node = *next.node;
    decision.soon = true;
    return decision;
  }
  auto decision = look.row(Event::kSwitchoverStop, fmt::format("switchover from {} to {}: stops cleanly, so that the "
                                                               "standbys have all WAL",
                                                               self.name, *next.node));
  decision.node = *next.node;
  decision.soon = true;
  return decision;
}

// A reinit that its node could never begin.
std::optional<Decision> asked_of_another(const Look& look, const Request& request) {
  if (std::find(look.view.members.begin(), look.view.members.end(), request.node) == look.view.members.end()) {
    return settle(look, fmt::format("reinit refused: {} is not a member", request.node));
  }
  if (is_last_copy(look, request.node)) {
    return settle(look, fmt::format("reinit refused: no other standby of {} can have each commit in place of {}, and "
                                    "strict never goes without; add one, or set durability to quorum",
                                    look.self().name, request.node));
  }
  if (look.now < request.deadline) return std::nullopt;
  return settle(look, fmt::format("reinit of {} given up: its time is over, and {} did not begin; is it up?",
                                  request.node, request.node));
}

std::optional<Decision> requested(const Look& look) {
  const auto& request = look.store().request;
  if (!request) return std::nullopt;
  if (request->kind == Request::Kind::kResume) {
    return settle(look, fmt::format("resumed: {} leads under epoch {}, roles are kept by the agents again",
                                    look.self().name, look.self().epoch));
  }
  if (look.state != State::kLeading) return std::nullopt;
  if (request->kind == Request::Kind::kSwitchover) return switchover(look, *request);
  if (request->kind == Request::Kind::kFailover) {
    return settle(look, fmt::format("failover settled: {} leads under epoch {}; to move the role ask for a switchover",
                                    look.self().name, look.self().epoch));
  }
  if (request->node != look.self().name) return asked_of_another(look, *request);
  return settle(look, fmt::format("reinit refused: {} is the leader; ask for a switchover first", look.self().name));
}

}  // namespace

Decision decide_leader(const Look& look) {
  const OwnView& self = look.self();
  if (std::string by = replaced_by(look); !by.empty()) return fence_replaced(look, by);
  if (!look.paused() && look.late()) return fence_late(look);
  if (Epoch promise = highest_promise(look); promise > self.epoch) {
    return reacquire(look, Event::kPromisedElsewhere,
                     fmt::format("a member that took it for gone promised epoch {}", promise));
  }
  if (auto decision = in_trouble(look)) return *decision;
  if (auto decision = requested(look)) return *decision;
  return decide_sync(look);
}

Decision decide_uncovered(const Look& look) {
  const OwnView& self = look.self();
  std::string by = replaced_by(look);
  if (look.state == State::kStray) {
    // A key of a lower epoch is from before this one led: the store went back.
    if (const LeaderKey* other = look.leader(); other != nullptr && other->epoch > self.epoch) {
      by = fmt::format("{} holds the leader key for epoch {}", other->holder, other->epoch);
    }
    if (!by.empty()) return fence_replaced(look, by);
    if (look.paused()) return reacquire(look, Event::kPaused, "paused, and nobody leads");
    if (look.late()) return fence_late(look);
    return reacquire(look, Event::kKeyGone, "its key is gone, but it was covered all the time");
  }
  if (by.empty()) {
    if (Epoch promise = highest_promise(look); promise > self.epoch) {
      by = fmt::format("the store is silent, and a member promised epoch {}", promise);
    }
  }
  if (!by.empty()) return fence_replaced(look, by);
  if (look.paused()) return look.row(Event::kPaused, fmt::format("paused: {} goes on without the store", self.name));
  if (look.late()) return fence_late(look);
  bool lease_runs = self.lease != 0 && look.now < self.renewed + look.settings().lease - look.settings().margin;
  if (lease_runs)
    return look.row(Event::kLeaseRuns, fmt::format("the store is silent; the lease of {} still runs", self.name));
  const char* why = covered_until(look.view) == Time::max()
                        ? "is silent: {} goes on under epoch {}, nobody else can lead"
                        : "is silent to all: {} goes on under epoch {}, the members "
                          "it needs answer and know no newer one";
  return look.row(Event::kFailsafe, "the store " + fmt::format(fmt::runtime(why), self.name, self.epoch));
}

}  // namespace pgb::ha
