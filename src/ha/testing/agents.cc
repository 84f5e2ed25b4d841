// Agents: what they see, the broken rules put between decide() and them, and what they do.
#include <fmt/format.h>

#include <algorithm>

#include "ha/candidate.h"
#include "ha/decide.h"
#include "ha/testing/world.h"

namespace pgb::ha::testing {

constexpr Ms kStoreSilence = 1500;  // after which it counts as silent

NodeView World::publishable(const SimNode& node) const {
  const SimServer& server = node.server;
  NodeView view;
  view.name = node.name;
  view.server = server.state;
  bool busy_starting = node.job && (node.job->decision.action == Action::kStartStandby ||
                                    node.job->decision.action == Action::kRestartInPlace ||
                                    node.job->decision.action == Action::kPromote);
  if (busy_starting) view.server = Server::kStarting;
  if (server.frozen) view.health = Health::kTcpOnly;
  if (server.stalled) view.health = Health::kStalled;
  view.system_id = server.state == Server::kAbsent ? "" : server.system_id;
  bool unread = server.state == Server::kStopped && node.memory.fault != Fault::kNone;
  if (server.state != Server::kAbsent && server.state != Server::kBuilding && !unread) {
    view.flushed = Position{server.timeline(), server.wal.size()};
    view.history = server.history;
  } else if (unread) {
    view.was_at = Position{server.timeline(), server.wal.size()};
  }
  view.epoch = server.epoch;
  view.promised = node.promised;
  view.led = node.led;
  view.following = server.following;
  view.streaming = server.connection != 0;
  view.trouble = server.trouble;
  view.failed_rewinds = node.memory.failed_rewinds;
  view.failed_starts = node.memory.failed_starts;
  view.failed_promotions = node.memory.failed_promotions;
  view.free_disk = node.free_disk;
  for (const auto& [peer, said] : node.evidence) {
    if (said.contact == Evidence::Contact::kRefused) view.refused.push_back(peer);
  }
  return view;
}

ClusterView World::view_of(const SimNode& node) const {
  ClusterView view;
  view.self = node.memory;
  static_cast<NodeView&>(view.self) = publishable(node);
  view.self.founder = node.founder;
  view.self.sync = node.server.sync;
  view.self.sync_since = node.server.sync_since;
  view.self.applying = node.server.next_sync;
  view.self.recording = node.recording && *node.recording == revisions(node.store);
  view.self.recovery = Duration(node.recovery);
  view.self.well_at = on_clock(node, node.well_at);
  view.self.up_since = on_clock(node, node.server.up_since);
  for (const auto& [name, link] : node.server.links) {
    view.self.links[name] = {link.streaming, link.acked, on_clock(node, link.since)};
  }
  view.peers = node.peers;
  view.evidence = node.evidence;
  for (const auto& other : nodes_) view.members.push_back(other.name);
  view.store = node.store;
  view.settings = settings_;
  forget_cover(view, node.woke);
  return view;
}

void World::notice_revision(SimNode& node) {
  uint64_t sync = store_.sync ? store_.sync->revision : 0;
  if (store_.revision < node.seen_revision) node.went_back = sync, node.went_back_at = time(node);
  node.seen_revision = store_.revision;
  node.store.restored = node.went_back == sync ? std::optional(node.went_back_at) : std::nullopt;
}

void World::observe(SimNode& node) {
  const bool answers = both_ways(node.name, "store");
  if (answers) node.store_asked = now_;
  node.store.reachable = now_ - node.store_asked < kStoreSilence;
  if (answers) {
    bool had = node.store.leader.has_value();
    notice_revision(node);
    node.store.leader = store_.leader;
    if (had && !store_.leader) node.store.leaderless_since = time(node);
    node.store.epoch = store_.epoch;
    node.store.sync = store_.sync;
    node.store.transfer = store_.transfer;
    node.store.request = store_.request;
    if (node.store.request) node.store.request->deadline -= Duration(node.clock_zero);
    node.store.paused = store_.paused;
    const auto& key = store_.leader;
    bool old = key && node.server.state == Server::kPrimary && key->epoch < node.server.epoch;
    if (key && key->holder == node.name && key->lease != node.memory.lease && node.asked.contains(key->lease) && !old) {
      node.memory.lease = key->lease;
      node.memory.renewed = node.asked[key->lease];
    }
    bool mine = key && key->holder == node.name && key->lease == node.memory.lease;
    if (mine && node.server.state == Server::kPrimary) node.server.epoch = std::max(node.server.epoch, key->epoch);
    for (const auto& [name, entry] : store_.published) {
      // A lost disk took the promise along; what it published still counts for others.
      if (name == node.name) node.promised = std::max(node.promised, entry.second.promised);
      if (name == node.name || node.versions[name] >= entry.first) continue;
      node.versions[name] = entry.first;
      node.peers[name] = entry.second;
      node.peers[name].seen = time(node);
    }
  }
  bool asks_failsafe = node.server.state == Server::kPrimary && !node.store.reachable;
  for (auto& other : nodes_) {
    if (&other == &node) continue;
    Evidence& said = node.evidence[other.name];
    said = {Evidence::Contact::kSilent, 0, true, time(node), asks_failsafe ? node.server.epoch : 0};
    if (!both_ways(node.name, other.name)) continue;
    if (!other.alive) {
      said.contact = Evidence::Contact::kRefused;
    } else if (!other.paused) {
      said.contact = Evidence::Contact::kAnswers;
      said.epoch = std::max({other.promised, other.store.epoch.epoch, other.server.epoch});
      said.store_reachable = other.store.reachable;
      bool vouches = asks_failsafe && !other.store.reachable && said.epoch <= node.server.epoch;
      if (vouches) other.memory.vouched_until = time(other) + settings_.lease;
    }
  }
}

Decision World::decide_mutated(const SimNode& node, ClusterView view) {
  Mutation mutation = options_.mutation;
  if (mutation == Mutation::kNoQuorumCheck && view.store.sync && view.self.server == Server::kStandby) {
    view.store.sync->durability = Durability::kAsync;
  }
  if (mutation == Mutation::kRecordTooEarly) {
    for (auto& [name, link] : view.self.links) link.flushed = std::max(link.flushed, view.self.sync_since);
  }
  if (mutation == Mutation::kOverlap) view.self.applying.reset(), view.self.recording = false;
  if (mutation == Mutation::kTrustOldRecord) view.store.restored.reset();
  // It takes itself for closed.
  if (mutation == Mutation::kOpenAtOnce && state_of(view) == State::kOpening) view.self.sync.closed = true;
  Decision decision = decide(view, time(node));
  bool leading = state_of(view) == State::kLeading;
  if (mutation == Mutation::kRelaxBeforeRecord && leading && decision.action == Action::kRecordSync) {
    bool applied = view.self.sync == decision.sync;
    if (!applied) decision.action = Action::kApplySync;
    if (applied && chance(0.9)) decision.action = Action::kKeepLease;
  }
  if (mutation == Mutation::kNoHeirs && decision.record) decision.record->heirs.clear();
  if (mutation == Mutation::kIgnoreFence && decision.action == Action::kFence) decision.action = Action::kWait;
  if (mutation == Mutation::kOpenAtOnce && decision.action == Action::kPromote) decision.sync = {false, {}};
  if (mutation == Mutation::kNeverRewind && decision.action == Action::kRewind) decision.action = Action::kFollow;
  return decision;
}

void World::round(SimNode& node) {
  observe(node);
  ClusterView view = view_of(node);
  Decision decision = decide_mutated(node, view);
  outcome_.rows.emplace(decision.state, decision.event);
  if (decision.sentence.starts_with("BUG")) violate(Harm::kNoRow, decision.sentence);
  if (decision.lossy) note("lossy: " + decision.sentence);
  node.published = publishable(node);
  publish(node);
  node.next_round = now_ + (decision.soon ? random(10, 50) : random(350, 650));
  if (renews(view, decision)) renew(node);
  bool idle = decision.action == Action::kWait || decision.action == Action::kKeepLease;
  node.last_word = decision.sentence;
  if (idle) return;
  note(fmt::format("{} [{}] {}: {}", node.name, to_string(state_of(view)), to_string(decision.action),
                   decision.sentence));
  node.pending = decision;
  node.pending_at = now_ + random(1, 8);
}

void World::act(SimNode& node, const Decision& decision) {
  SimServer& server = node.server;
  auto run = [&](Ms shortest, Ms longest) {
    if (!node.job) node.job = Job{decision, now_ + random(shortest, longest)};
  };
  auto build = [&] {
    if (node.job) return;
    // pg_rewind is asked without touching anything first, and refuses data of another system.
    const SimNode* leader = find(decision.node);
    if (decision.action == Action::kRewind && leader != nullptr && leader->server.system_id != server.system_id) return;
    clear_request(node, Request::Kind::kReinit);
    kill_server(node, Fault::kNone);
    server.state = Server::kBuilding;
    server.following.reset();
    server.epoch = 0;
    promise(node, decision.epoch);  // what it gets belongs to that epoch
    node.led = 0;
    run(200, 2500);
  };
  switch (decision.action) {
    case Action::kWait:
    case Action::kKeepLease: return;
    case Action::kStartStandby: return run(50, 400);
    case Action::kRestartInPlace: return run(50, node.recovery + 200);
    case Action::kPromote: return run(30, 300);
    case Action::kRewind:
    case Action::kFullCopy: return build();
    case Action::kDetach: return detach(node, decision.epoch);
    case Action::kFollow:
      promise(node, decision.epoch);
      node.led = 0;
      disconnect(node);
      server.following = Following{decision.node, decision.epoch};
      server.trouble = Trouble::kNone;
      return;
    case Action::kFence: {
      Fault fault = server.stalled || server.frozen ? Fault::kStalled : Fault::kNone;
      if (node.free_disk < settings_.min_free_disk) fault = Fault::kDiskFull;
      return kill_server(node, fault);
    }
    case Action::kCheckpoint: node.memory.checkpointed = true; return;
    case Action::kStopCleanly: return run(50, 500);
    case Action::kAcquire: return acquire(node, decision);
    case Action::kRelease: return release(node, decision);
    case Action::kRecordSync: return record(node, decision);
    case Action::kApplySync:
      if (server.next_sync == decision.sync) return;
      server.next_sync = decision.sync;
      server.next_sync_at = now_ + random(5, 120);
      return;
    case Action::kClearRequest:
      node.memory.checkpointed = false;
      return to_store(
          node,
          [this, id = node.store.request ? node.store.request->id : 0] {
            if (!store_.request || store_.request->id != id) return false;
            if (store_.request->kind == Request::Kind::kResume) store_.paused = false;
            return store_.request.reset(), true;
          },
          [] {});
  }
}

void World::clear_request(const SimNode& node, Request::Kind kind) {
  if (store_.request && store_.request->kind == kind && store_.request->node == node.name) store_.request.reset();
}

void World::promise(SimNode& node, Epoch epoch) {
  if (epoch > node.promised) node.memory.promised_at = time(node);
  node.promised = std::max(node.promised, epoch);
}

void World::detach(SimNode& node, Epoch epoch) {
  promise(node, epoch);
  if (options_.mutation == Mutation::kPromiseWithoutDetach) {
    // The view says detached, the walreceiver goes on.
    if (node.server.following) {
      auto stays = *node.server.following;
      for (Ms wait = 0; wait < 3000; wait += 10) {
        later(wait, [this, name = node.name, stays] {
          SimNode& self = *find(name);
          if (self.server.state != Server::kStandby || self.server.following) return;
          self.server.following = stays;
          stream(self);
          self.server.following.reset();
        });
      }
    }
    node.server.following.reset();
    return;
  }
  if (node.server.frozen) kill_server(node, Fault::kStalled);  // its walreceiver cannot be ended otherwise
  disconnect(node);
  node.server.following.reset();
}

}  // namespace pgb::ha::testing
