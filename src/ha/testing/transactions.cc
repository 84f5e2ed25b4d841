// What agents write to the store, and the leases.
#include <fmt/format.h>

#include <algorithm>

#include "ha/testing/world.h"

namespace pgb::ha::testing {

// The request arrives, or does not; the answer arrives, or does not, each at its own time.
void World::to_store(SimNode& node, std::function<bool()> transaction, std::function<void()> on_success) {
  node.next_round = now_ + 600;  // the limit of a call
  if (!linked(node.name, "store")) return;
  later(delay(), [this, name = node.name, transaction = std::move(transaction), on_success = std::move(on_success)] {
    if (!store_.up) return;
    bool done = transaction();
    if (done) ++store_.revision;
    if (!linked("store", name)) return;
    later(delay(), [this, name, done, on_success] {
      SimNode& self = *find(name);
      if (!self.alive) return;
      if (done) on_success();
      self.next_round = std::min(self.next_round, now_ + random(1, 20));
    });
  });
}

void World::put_sync(const Decision& decision) {
  if (!decision.record) return;
  store_.sync = decision.record;
  store_.sync->revision = store_.revision + 1;
}

void World::acquire(SimNode& node, const Decision& decision) {
  uint64_t lease = ++leases_;
  node.led = std::max(node.led, decision.led);
  auto transaction = [=, this, name = node.name, system_id = node.server.system_id, seen = revisions(node.store),
                      epoch = node.store.epoch.revision, request = node.store.request ? node.store.request->id : 0] {
    if (revisions(store_) != seen || store_.epoch.revision != epoch) return false;
    if (decision.lossy && (!store_.request || store_.request->id != request)) return false;
    uint64_t next = store_.revision + 1;
    store_.leader = LeaderKey{name, decision.epoch, lease, next};
    store_.leases[lease] = now_ + settings_.lease.count();
    store_.epoch = {decision.epoch, name, std::max(store_.epoch.timeline, decision.timeline), next, system_id};
    store_.transfer.clear();
    put_sync(decision);
    wake();
    if (last_holder_ != name) ++changes_;
    last_holder_ = name;
    if (decision.lossy) ++outcome_.lossy;
    return true;
  };
  node.asked[lease] = time(node);
  to_store(node, transaction,
           [this, name = node.name, decision] { note(fmt::format("{} holds epoch {}", name, decision.epoch)); });
}

void World::record(SimNode& node, const Decision& decision) {
  node.recording = revisions(node.store);
  to_store(
      node,
      [this, seen = revisions(node.store), decision, name = node.name] {
        bool last = options_.mutation == Mutation::kOverlap || revisions(store_).second == seen.second;
        if (!store_.leader || revisions(store_).first != seen.first || !last) return false;
        put_sync(decision);
        passes(Moment::kRecorded, *find(name));
        return true;
      },
      [] {});
}

void World::release(SimNode& node, const Decision& decision) {
  detach(node, decision.epoch);
  node.published = publishable(node);
  publish(node);
  uint64_t lease = node.memory.lease;
  to_store(
      node,
      [this, lease, to = decision.node, view = node.published] {
        if (!store_.leader || store_.leader->lease != lease) return false;
        store_.published[view.name] = {store_.published[view.name].first + 1, view};
        store_.leader.reset();
        store_.transfer = to;
        bool switches = store_.request && store_.request->kind == Request::Kind::kSwitchover;
        if (switches && !to.empty()) store_.request->node = to;
        if (switches && (store_.request->node.empty() || store_.request->node == view.name)) store_.request.reset();
        return true;
      },
      [] {});
}

void World::renew(SimNode& node) {
  if (!linked(node.name, "store")) return;
  later(delay(), [this, name = node.name, lease = node.memory.lease, sent = time(node)] {
    if (!store_.up || !store_.leases.contains(lease) || store_.leases[lease] <= now_) return;
    store_.leases[lease] = now_ + settings_.lease.count();
    if (!linked("store", name)) return;
    later(delay(), [this, name, lease, sent] {
      OwnView& memory = find(name)->memory;
      if (find(name)->alive && memory.lease == lease) memory.renewed = std::max(memory.renewed, sent);
    });
  });
}

void World::publish(SimNode& node) {
  if (!linked(node.name, "store")) return;
  later(random(1, 25), [this, view = node.published, sent = static_cast<uint64_t>(now_)] {
    auto& entry = store_.published[view.name];
    if (!store_.up || sent * 1000 < entry.first) return;
    bool news = entry.second.promised != view.promised || entry.second.server != view.server ||
                entry.second.epoch != view.epoch;
    entry = {sent * 1000, view};
    if (news) wake();
  });
}

// Watches fire.
void World::wake() {
  for (auto& node : nodes_)
    node.next_round = std::min(node.next_round, now_ + (chance(0.9) ? random(2, 40) : random(40, 500)));
}

}  // namespace pgb::ha::testing
