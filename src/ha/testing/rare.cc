// What a user or an operator does to the store, and to the data of a node: rare, and the worst for all that is
// recorded.
#include <algorithm>

#include "ha/testing/world.h"

namespace pgb::ha::testing {

void World::schedule_rare() {
  for (Ms at = 1500; at < 20'000; at += 1500) later(at, [this] { copy_store(); });
  for (Ms count = random(1, 2); count > 0; --count) {
    later(random(3000, 20'000), [this] {
      if (healed_ || now_ < quiet_until_) return;
      ++outcome_.faults;
      switch (random(0, 2)) {
        case 0: return empty_store();
        case 1: return restore_store();
        default: return foreign_data(victim(), random(500, 8000));
      }
    });
  }
}

void World::copy_store() {
  if (store_.up) copies_.push_back(store_);
}

// A new one in its place, once in a schedule: revisions begin anew, too.
void World::empty_store() {
  if (!store_.up || store_lost_ || !wiped_.empty()) return;
  note("FAULT the store is emptied");
  store_lost_ = true;
  store_ = SimStore{};
  wake();
}

// With agents that know better there, and time for one of them to say so: what is acknowledged on a node that is gone
// before that is known to nobody.
void World::restore_store() {
  if (copies_.empty() || store_lost_ || !all_is_well()) return;
  size_t which = static_cast<size_t>(random(0, static_cast<Ms>(copies_.size()) - 1));
  note("FAULT the store is restored from a copy");
  store_lost_ = true;
  store_ = copies_[which];
  for (auto& [id, end] : store_.leases) end = std::max(end, now_ + settings_.lease.count());
  quiet_until_ = now_ + 3000;
  wake();
}

bool World::all_is_well() const {
  if (!store_.up || !store_.leader || !store_.sync || store_.sync->epoch != store_.leader->epoch) return false;
  return cuts_.empty() && std::all_of(nodes_.begin(), nodes_.end(), [this](const SimNode& node) {
           return node.alive && !node.paused && !node.server.frozen && node.seen_revision == store_.revision;
         });
}

// One of a schedule, and not together with a lost disk, nor a lost store: then nothing says whose data they are.
void World::foreign_data(SimNode& node, Ms lasts) {
  if (!wiped_.empty() || store_lost_ || !spare(node)) return;
  note("FAULT another group's data are put on " + node.name);
  wiped_ = node.name;
  kill_agent(node);
  node.server = SimServer{};
  node.server.system_id = "8000";
  if (chance(0.5)) node.server.history.push_back({static_cast<Timeline>(random(2, 9)), 0});
  for (Ms i = random(0, 200); i > 0; --i) {
    node.server.wal.push_back(++writes_);
    own_records_.insert(writes_);
  }
  later(lasts, [this, name = node.name] { revive_agent(*find(name)); });
}

// A user found out and did what the agent asked for.
void World::remove_foreign() {
  for (auto& node : nodes_) {
    if (node.server.system_id == SimServer{}.system_id) continue;
    note("another group's data are removed from " + node.name);
    kill_agent(node);
    node.server = SimServer{};
    node.server.state = Server::kAbsent;
    revive_agent(node);
  }
}

}  // namespace pgb::ha::testing
