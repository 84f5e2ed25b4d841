// PostgreSQL as the simulation knows it.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "ha/testing/world.h"

namespace pgb::ha::testing {
namespace {

constexpr size_t kKept = 150;  // records that a primary keeps for standbys that are away

}  // namespace

void World::write(SimNode& primary) {
  SimServer& server = primary.server;
  // Clients whose commits wait send nothing new.
  if (server.wal.size() > server.acknowledged + 12 || !chance(0.3)) return;
  server.wal.push_back(++writes_);
}

void World::acknowledge(SimNode& primary) {
  SimServer& server = primary.server;
  if (server.sync.closed) return;
  size_t upto = server.wal.size();
  if (unsigned required = server.sync.set.required; required > 0) {
    std::vector<size_t> have;
    for (const auto& name : server.sync.set.members) {
      auto it = server.links.find(name);
      have.push_back(it != server.links.end() && it->second.streaming ? it->second.acked : 0);
    }
    if (have.size() < required) return;
    std::sort(have.rbegin(), have.rend());
    upto = std::min(upto, have[required - 1]);
  }
  if (upto <= server.acknowledged) return;
  bool safe = settings_.durability != Durability::kAsync && outcome_.lossy == 0;
  auto [owner, first] = owner_.emplace(server.epoch, primary.name);
  if (owner->second != primary.name) {
    violate(Harm::kTwoPrimaries,
            fmt::format("{} and {} both wrote under epoch {}", owner->second, primary.name, server.epoch));
  }
  if (first && safe) {
    std::set<uint32_t> there(server.wal.begin(), server.wal.end());
    auto lost = std::count_if(acked_.begin(), acked_.end(), [&](uint32_t id) { return !there.contains(id); });
    if (lost > 0)
      violate(Harm::kLost,
              fmt::format("{} leads epoch {} without {} acknowledged commits", primary.name, server.epoch, lost));
  }
  if (safe && server.epoch < highest_acked_) {
    violate(Harm::kTwoPrimaries, fmt::format("{} acknowledged under epoch {} after {} was in use", primary.name,
                                             server.epoch, highest_acked_));
  }
  highest_acked_ = std::max(highest_acked_, server.epoch);
  for (; server.acknowledged < upto; ++server.acknowledged) {
    uint32_t id = server.wal[server.acknowledged];
    if (!own_records_.contains(id)) acked_.push_back(id);
  }
  last_ack_ = now_;
}

void World::disconnect(SimNode& standby) {
  if (standby.server.connection == 0) return;
  for (auto& node : nodes_) {
    auto it = node.server.links.find(standby.name);
    if (it != node.server.links.end() && it->second.id == standby.server.connection && it->second.streaming) {
      it->second.streaming = false;
      it->second.since = now_;
    }
  }
  standby.server.connection = 0;
}

void World::stream(SimNode& standby) {
  SimServer& mine = standby.server;
  SimNode* leader = find(mine.following->leader);
  bool up = leader != nullptr && !leader->server.frozen && !mine.frozen && both_ways(standby.name, leader->name);
  // A standby gives what it has, too, and goes on with it when it is promoted.
  bool rests = up && leader->server.state == Server::kStandby && !leader->server.following;
  if (!up || (leader->server.state != Server::kPrimary && !rests)) return disconnect(standby);
  SimServer& theirs = leader->server;
  if (mine.connection == 0) {
    if (!chance(0.1)) return;
    auto own = std::find_if(theirs.history.begin(), theirs.history.end(),
                            [&](const Fork& f) { return f.timeline == mine.timeline(); });
    if (mine.system_id != theirs.system_id) {
      mine.trouble = Trouble::kDiverged;
      return;
    }
    bool ahead = own == theirs.history.end() || (own + 1 != theirs.history.end() ? mine.wal.size() > (own + 1)->begin
                                                                                 : mine.wal.size() > theirs.wal.size());
    if (rests && (ahead || own + 1 != theirs.history.end())) return;  // it is refused
    if (ahead) {
      mine.trouble = Trouble::kDiverged;
      return;
    }
    if (theirs.wal.size() - mine.wal.size() > kKept) {
      mine.trouble = Trouble::kWalRemoved;
      return;
    }
    bool part = mine.wal.empty() || theirs.wal[mine.wal.size() - 1] == mine.wal.back();
    if (!part)
      return violate(Harm::kDiverged, fmt::format("{} follows {} although their WAL differs on timeline {}",
                                                  standby.name, leader->name, mine.timeline()));
    mine.connection = ++connections_;
    theirs.links[standby.name] = {true, 0, now_, mine.connection};
    note(fmt::format("{} streams from {}", standby.name, leader->name));
  }
  if (mine.stalled || chance(mine.slow ? 0.95 : 0.3)) return;
  size_t count = std::min(theirs.wal.size() - mine.wal.size(), static_cast<size_t>(random(0, 6)));
  mine.wal.insert(mine.wal.end(), theirs.wal.begin() + static_cast<long>(mine.wal.size()),
                  theirs.wal.begin() + static_cast<long>(mine.wal.size() + count));
  mine.history.clear();  // it is on the timeline that its last record is of, not always on the leader's
  for (const Fork& fork : theirs.history) {
    if (fork.begin <= mine.wal.size()) mine.history.push_back(fork);
  }
  later(random(1, 60), [this, name = standby.name, to = leader->name, id = mine.connection, lsn = mine.wal.size()] {
    SimServer& sender = find(to)->server;
    auto it = sender.links.find(name);
    const bool sends = sender.state == Server::kPrimary || sender.state == Server::kStandby;
    if (!sends || it == sender.links.end() || it->second.id != id || !linked(name, to)) return;
    it->second.acked = std::max<Lsn>(it->second.acked, lsn);
  });
}

void World::start(SimNode& node, bool primary) {
  SimServer& server = node.server;
  server.state = primary ? Server::kPrimary : Server::kStandby;
  server.links.clear();
  server.trouble = Trouble::kNone;
  server.up_since = node.well_at = now_;
  node.memory.fault = Fault::kNone;
  if (primary) {
    // Crash recovery acknowledges nothing: those sessions are gone, what they wrote is in doubt.
    server.acknowledged = server.wal.size();
    server.sync_since = server.wal.size();
    server.following.reset();
  } else {
    server.following.reset();
    server.epoch = 0;
  }
}

void World::kill_server(SimNode& node, Fault fault) {
  disconnect(node);
  if (node.job && node.job->decision.action == Action::kPromote) spend(node, node.job->decision.epoch);
  node.job.reset();
  SimServer& server = node.server;
  server.frozen = false;
  // Written to the file it is in effect after a restart, whether a reload came to it or not.
  if (server.next_sync && chance(0.5)) server.sync = *server.next_sync;
  server.next_sync.reset();
  for (auto& [name, link] : server.links) {
    if (link.streaming) link = {false, link.acked, now_, link.id};
  }
  for (auto& other : nodes_) {
    bool follows = other.server.following && other.server.following->leader == node.name;
    if (follows) other.server.connection = 0;
  }
  if (server.state == Server::kAbsent || server.state == Server::kBuilding) return;
  server.state = Server::kStopped;
  node.memory.fault = fault;
}

void World::rebuild(SimNode& node, const std::string& from, bool rewind) {
  SimNode* leader = find(from);
  if (node.server.system_id != SimServer{}.system_id)
    violate(Harm::kLost, fmt::format("{} overwrote another group's data", node.name));
  bool possible = leader != nullptr && leader->server.state == Server::kPrimary && !leader->server.frozen &&
                  both_ways(node.name, from) && !(rewind && chance(0.2));
  if (!possible) {
    node.memory.failed_rewinds += rewind ? 1 : 0;
    if (rewind && chance(0.7)) node.server.state = Server::kStopped;  // it had not begun to write
    return;
  }
  node.memory.failed_rewinds = node.memory.failed_promotions = 0;
  node.server.begun = 0;
  node.server.trouble = Trouble::kNone;
  node.server.wal = leader->server.wal;
  node.server.history = leader->server.history;
  node.server.state = Server::kStopped;
  node.memory.fault = Fault::kNone;
}

void World::spend(SimNode& node, Epoch epoch) {
  if (std::exchange(node.memory.spent, epoch) != epoch) ++node.memory.failed_promotions;
}

void World::begin_timeline(SimServer& server, Timeline timeline) {
  server.begun = timeline;
  server.history.push_back({timeline, server.wal.size()});
  server.wal.push_back(++writes_);
  own_records_.insert(writes_);
}

// The agent ends the server, whose timeline may have begun.
void World::break_promotion(SimNode& node, const Decision& decision) {
  const bool begins = node.server.state == Server::kStandby && node.server.begun != decision.timeline && chance(0.5);
  if (begins) begin_timeline(node.server, decision.timeline);
  node.server.begun = decision.timeline;
  kill_server(node, Fault::kCrashed);
  spend(node, decision.epoch);
}

void World::promote(SimNode& node, const Decision& decision) {
  SimServer& server = node.server;
  if (server.state != Server::kStandby) return;
  if (server.begun == decision.timeline) return break_promotion(node, decision);
  disconnect(node);
  node.led = decision.epoch;
  Timeline timeline = options_.mutation == Mutation::kReuseTimeline ? server.timeline() + 1 : decision.timeline;
  begin_timeline(server, timeline);
  node.memory.failed_promotions = 0;
  auto links = std::move(server.links);  // whom it gave its WAL before
  start(node, true);
  server.links = std::move(links);
  server.epoch = decision.epoch;
  server.sync = decision.sync;
  for (const auto& other : nodes_) {
    if (&other != &node && other.server.state == Server::kPrimary && other.server.epoch == server.epoch) {
      violate(Harm::kTwoPrimaries,
              fmt::format("{} and {} are primaries of epoch {}", node.name, other.name, server.epoch));
    }
  }
  note(fmt::format("{} is primary of epoch {} on timeline {}", node.name, server.epoch, timeline));
  passes(Moment::kPromoted, node);
}

void World::finish_job(SimNode& node) {
  Decision decision = node.job->decision;
  node.job.reset();
  bool brings_up = decision.action == Action::kStartStandby || decision.action == Action::kRestartInPlace ||
                   decision.action == Action::kPromote;
  if (brings_up && !healed_ && chance(0.04)) {
    note(fmt::format("{}: {} failed", node.name, to_string(decision.action)));
    if (decision.action == Action::kPromote) return break_promotion(node, decision);
    ++node.memory.failed_starts;
    return;
  }
  if (brings_up) node.memory.failed_starts = 0;
  switch (decision.action) {
    case Action::kStartStandby: return start(node, false);
    case Action::kRestartInPlace:
      start(node, true);
      node.server.epoch = decision.epoch;
      return;
    case Action::kPromote: return promote(node, decision);
    case Action::kRewind: return rebuild(node, decision.node, true);
    case Action::kFullCopy: return rebuild(node, decision.node, false);
    default: break;
  }
  // kStopCleanly: walsenders send all there is before they end.
  for (auto& other : nodes_) {
    bool streams =
        other.server.connection != 0 && other.server.following && other.server.following->leader == node.name;
    if (!streams || node.server.frozen || other.server.frozen) continue;
    other.server.wal = node.server.wal;
    other.server.history = node.server.history;
  }
  kill_server(node, Fault::kNone);
}

void World::tick_servers() {
  for (auto& node : nodes_) {
    SimServer& server = node.server;
    if (!server.frozen && !server.stalled) node.well_at = now_;
    if (node.job && !node.suspended_since && now_ >= node.job->done) finish_job(node);
    if (server.next_sync && now_ >= server.next_sync_at && !server.frozen) {
      server.sync = *server.next_sync;
      server.sync_since = server.wal.size();
      server.next_sync.reset();
    }
    if (server.state == Server::kPrimary && !server.frozen) {
      if (!server.stalled && node.free_disk > 0) write(node);
      acknowledge(node);
    }
    if (server.state == Server::kStandby && server.following) stream(node);
  }
}

}  // namespace pgb::ha::testing
