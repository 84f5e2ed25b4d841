// A node without a running server.
#include <fmt/format.h>

#include "ha/candidate.h"
#include "ha/deciding.h"
#include "ha/words.h"

namespace pgb::ha {
namespace {

// The leader, once it is a primary under the epoch of its key.
const NodeView* ready_leader(const Look& look) {
  const LeaderKey* key = look.leader();
  if (key == nullptr) return nullptr;
  const NodeView* node = find_node(look.view, key->holder);
  return node != nullptr && node->server == Server::kPrimary && node->epoch == key->epoch ? node : nullptr;
}

std::string down_text(const Look& look) {
  switch (look.self().fault) {
    case Fault::kCrashed: return "its server crashed";
    case Fault::kStalled: return "its server stalled";
    case Fault::kDiskFull: return "its disk is full";
    case Fault::kNone: break;
  }
  return "its server is stopped";
}

// Why it should not be restarted here; empty: it should.
std::string reason_to_leave(const Look& look) {
  const OwnView& self = look.self();
  if (look.store().request && look.store().request->kind == Request::Kind::kSwitchover)
    return "a switchover was asked for";
  if (self.fault == Fault::kStalled) return "it may stall again";
  if (self.failed_starts >= look.settings().max_starts) return fmt::format("{} starts failed", self.failed_starts);
  if (self.recovery > look.settings().handover) {
    return fmt::format("a restart takes {}, a hand-over {}", seconds(self.recovery), seconds(look.settings().handover));
  }
  return "";
}

// To whom this node leaves its role, and why; nobody: `why` says why not.
Successor heir(const Look& look, const std::string& wanted, std::string& leave) {
  leave = reason_to_leave(look);
  Successor next = successor(look.view, wanted, look.now);
  if (look.self().free_disk >= look.settings().min_free_disk || (!leave.empty() && next.node)) return next;
  leave = "with so little room it may crash again";
  return roomy_successor(look.view, wanted, look.now);
}

}  // namespace

Decision decide_startup(const Look& look) {
  const std::string& name = look.self().name;
  const NodeView* leader = ready_leader(look);
  const bool has_data = look.state == State::kStarting || look.state == State::kStopped;
  if (has_data && leader != nullptr) {
    if (auto decision = reinit_asked(look, *leader)) return *decision;
  }
  if (look.state == State::kStarting) return look.row(Event::kStarts, fmt::format("{} starts its server", name));
  if (look.state == State::kStopped) {
    if (auto decision = useless_key(look)) return *decision;
    // What was started with its agent comes up; a server that was stopped while its agent went on is left alone.
    bool stays = look.self().up_since != Time{} && leader == nullptr && look.store().epoch.holder != name;
    if (look.paused() && stays) return look.row(Event::kPaused, fmt::format("paused: {} stays stopped", name));
    if (leader == nullptr && is_foreign(look.view, look.self())) {
      return look.row(Event::kForeign, fmt::format("{} does not start: its system identifier {} is not {}, that of the "
                                                   "group; put its own data back, or remove them to get a copy",
                                                   name, look.self().system_id, look.store().epoch.system_id));
    }
    std::string start = fmt::format("{} starts its server as a standby", name);
    if (leader == nullptr) return look.row(Event::kStart, start);
    auto decision = climb(look, *leader, leader->epoch, Event::kStart);
    if (decision.action == Action::kStartStandby) decision.sentence = start;
    return decision;
  }
  if (leader == nullptr) {
    return look.row(Event::kNoLeader,
                    fmt::format("{} has no usable data and waits for a leader to copy it from", name));
  }
  return climb(look, *leader, leader->epoch, Event::kStart);
}

Decision decide_down(const Look& look) {
  const std::string& name = look.self().name;
  Epoch epoch = look.store().leader->epoch;
  bool moves = look.store().request && look.store().request->kind == Request::Kind::kSwitchover;
  if (look.paused() && !moves)
    return look.row(Event::kPaused, fmt::format("paused: {} stays as it is: {}", name, down_text(look)));
  if (look.store().epoch.epoch > epoch) {
    return look.row(Event::kReplaced, fmt::format("{} leads epoch {}: {} starts as a standby",
                                                  look.store().epoch.holder, look.store().epoch.epoch, name));
  }
  if (look.late()) {
    return look.row(Event::kLate,
                    fmt::format("{}, and the lease of {} has run out: it starts as a standby", down_text(look), name));
  }
  std::string wanted;
  if (look.store().request && look.store().request->kind == Request::Kind::kSwitchover) {
    wanted = look.store().request->node;
  }
  std::string leave;
  const Successor next = heir(look, wanted, leave);
  if (!leave.empty() && next.node) {
    auto decision = look.row(Event::kSuccessorReady, fmt::format("{} gives epoch {} up in favour of {}: {}, and {}",
                                                                 name, epoch, *next.node, down_text(look), leave));
    decision.node = *next.node;
    decision.epoch = next_epoch(look.view);
    return decision;
  }
  if (look.self().free_disk < look.settings().full_disk) {
    return look.row(Event::kNoRoom, fmt::format("{} waits for room, {} left, as nobody can take over: {}; free some",
                                                name, bytes(look.self().free_disk), next.why));
  }
  auto decision =
      look.row(Event::kRestartSooner, fmt::format("{}: {} restarts it in place under epoch {}{}", down_text(look), name,
                                                  epoch, leave.empty() ? "" : ", as " + next.why));
  decision.epoch = epoch;
  return decision;
}

}  // namespace pgb::ha
