// What goes wrong, and its end.
#include <fmt/format.h>

#include "ha/testing/world.h"

namespace pgb::ha::testing {

SimNode& World::victim() {
  if (chance(0.6)) {
    for (auto& node : nodes_) {
      if (node.server.state == Server::kPrimary) return node;
    }
  }
  return any_node();
}

void World::schedule_faults() {
  Ms at = random(3000, 6000);
  int count = static_cast<int>(random(1, 7));
  for (int i = 0; i < count; ++i, at += chance(0.4) ? random(0, 300) : random(300, 6000)) {
    later(at, [this] {
      if (!healed_) fault();
    });
  }
  if (options_.rare) schedule_rare();
}

void World::kill_agent(SimNode& node) {
  kill_server(node, Fault::kCrashed);  // by the parent-death signal
  node.alive = false;
  node.paused = false;
  node.suspended_since.reset();
  node.woke = Time{};
  node.pending.reset();
  node.evidence.clear();
  node.asked.clear();
  node.memory = OwnView{};
  node.recording.reset();
  node.seen_revision = 0;
  node.store_asked = -1'000'000;
  node.went_back.reset();
  node.memory.fault = Fault::kCrashed;
}

void World::revive_agent(SimNode& node) {
  if (node.alive) return;
  node.alive = true;
  node.next_round = now_ + random(0, 300);
  node.peers.clear();
  node.versions.clear();
  node.store = StoreView{};
  if (chance(0.5)) boot(node);
  note(node.name + " is up again");
}

// Not the only copy of what was acknowledged: no protocol survives the loss of that.
bool World::spare(const SimNode& node) const {
  bool settled = store_.sync && store_.leader && store_.sync->epoch == store_.leader->epoch;
  return settled && (store_.sync->leader != node.name || store_.sync->set.required > 0);
}

void World::fault() {
  if (now_ < quiet_until_) return;
  ++outcome_.faults;
  SimNode& node = victim();
  Ms lasts = chance(0.3) ? random(100, 1500) : random(1500, 12000);
  auto cut = [&](const std::string& from, const std::string& to) {
    cuts_.insert({from, to});
    later(lasts, [this, from, to] { cuts_.erase({from, to}); });
  };
  auto back = [this, name = node.name] { revive_agent(*find(name)); };
  Ms what = random(0, 23);
  note(fmt::format("FAULT {} on {} for {} ms", what, node.name, lasts));
  switch (what) {
    case 0:
    case 1:
      node.recovery = random(50, 3000);
      if (node.server.state == Server::kPrimary || node.server.state == Server::kStandby)
        kill_server(node, Fault::kCrashed);
      break;
    case 2:
    case 3:
      kill_agent(node);
      later(lasts, back);
      break;
    case 4:
    case 5:
      if (lasts % 3 == 0) return suspend(node, lasts);
      node.paused = true;
      later(lasts, [this, name = node.name] { find(name)->paused = false; });
      break;
    case 6:
      node.server.frozen = node.server.state == Server::kPrimary || node.server.state == Server::kStandby;
      later(lasts, [this, name = node.name] { find(name)->server.frozen = false; });
      break;
    case 7:  // cut off from everyone; clients still reach it
      for (auto& other : nodes_) cut(node.name, other.name), cut(other.name, node.name);
      cut(node.name, "store"), cut("store", node.name);
      break;
    case 8: cut(node.name, "store"), cut("store", node.name); break;
    case 9: cut(node.name, chance(0.5) ? "store" : any_node().name); break;  // one way
    case 10: cut(chance(0.5) ? "store" : any_node().name, node.name); break;
    case 11:
      for (auto& a : nodes_) {
        for (auto& b : nodes_) {
          if (chance(0.4)) cut(a.name, b.name);
        }
      }
      break;
    case 12:
      store_.up = false;
      later(lasts, [this] {
        store_.up = true;
        for (auto& [id, end] : store_.leases) {
          if (end > 0 && chance(0.5)) end = std::max(end, now_ + settings_.lease.count());
        }
      });
      break;
    case 13:
      node.server.stalled = true;
      later(lasts, [this, name = node.name] { find(name)->server.stalled = false; });
      break;
    case 14:
      node.free_disk = chance(0.5) ? 0 : 500;
      later(lasts, [this, name = node.name] { find(name)->free_disk = UINT64_MAX; });
      break;
    case 15:
    case 16: request(Request::Kind::kSwitchover, chance(0.5) ? any_node().name : "", false); break;
    case 17: any_request(); break;
    case 18:  // all of them, back in any order
      for (auto& each : nodes_) {
        kill_agent(each);
        later(random(100, 6000), [this, name = each.name] { revive_agent(*find(name)); });
      }
      break;
    case 19:
      if (chance(0.5)) return lose_disk(node, lasts);
      store_.paused = true;
      later(lasts, [this] { resume(); });
      break;
    case 20: slow_down(any_node(), lasts); break;
    case 21: force_failover(node, lasts); break;
    case 22: lie_in_wait(Moment::kPromoted, node, lasts); break;
    default: lie_in_wait(Moment::kRecorded, node, lasts);
  }
}

// The whole machine, as a laptop or a virtual one that is moved: all stands still, and the monotonic clock with it.
// What the node knows is older afterwards than it takes it for. No other clock that jumps is read by anybody here.
void World::suspend(SimNode& node, Ms lasts) {
  node.suspended_since = now_;
  node.server.frozen = node.server.state == Server::kPrimary || node.server.state == Server::kStandby;
  std::vector<std::pair<std::string, std::string>> wires{{node.name, "store"}, {"store", node.name}};
  for (const auto& other : nodes_) wires.insert(wires.end(), {{node.name, other.name}, {other.name, node.name}});
  cuts_.insert(wires.begin(), wires.end());
  later(lasts, [this, name = node.name, wires] {
    for (const auto& wire : wires) cuts_.erase(wire);
    wake_up(*find(name));
  });
}

void World::wake_up(SimNode& node) {
  if (!node.suspended_since) return;
  const Ms missed = now_ - *node.suspended_since;
  node.suspended_since.reset();
  node.server.frozen = false;
  node.clock_zero += missed;
  // The kernel tells how long it slept, but not of a virtual machine that was halted: then only votes keep two from
  // writing, and a store that is emptied meanwhile makes one forget them.
  if (options_.rare || missed % 2 == 0) node.woke = time(node);
  // What these say by that clock stays as it was.
  node.store_asked += missed, node.well_at += missed, node.server.up_since += missed;
  for (auto& [peer, link] : node.server.links) link.since += missed;
}

// One of a schedule.
void World::lose_disk(SimNode& node, Ms lasts) {
  if (!wiped_.empty() || !spare(node)) return;
  wiped_ = node.name;
  kill_agent(node);
  node.server = SimServer{};
  node.server.state = Server::kAbsent;
  node.promised = node.led = 0;
  node.founder = false;
  later(lasts, [this, name = node.name] { revive_agent(*find(name)); });
}

void World::heal() {
  healed_ = true;
  note("all heals");
  cuts_.clear();
  store_.up = true;
  store_.paused = false;
  for (auto& node : nodes_) {
    revive_agent(node);
    wake_up(node);
    node.paused = node.server.frozen = node.server.stalled = node.server.slow = false;
    node.free_disk = UINT64_MAX;
  }
  remove_foreign();
  for (Ms at : {6000, 16'000}) later(at, [this] { last_resort(); });  // who sees that nobody leads still asks once more
}

}  // namespace pgb::ha::testing
