// What users ask for.
#include <algorithm>

#include "ha/testing/world.h"

namespace pgb::ha::testing {

void World::request(Request::Kind kind, const std::string& node, bool force) {
  const Ms patience = random(1000, 9000);
  Time deadline = Time{} + Duration(now_ + patience);  // each node reads it by its own clock
  store_.request = Request{kind, node, force, deadline, ++order_};
  ++store_.revision;
  if (kind != Request::Kind::kFailover) return;
  later(patience, [this, id = store_.request->id] {  // its key's lease
    if (!store_.request || store_.request->id != id) return;
    store_.request.reset();
    ++store_.revision;
  });
}

void World::any_request() {
  const std::string node = any_node().name;
  if (chance(0.4)) return request(Request::Kind::kFailover, chance(0.5) ? node : "", chance(0.5));
  request(Request::Kind::kReinit, node, false);
}

// As the manager does: the leader ends the pause; without one it ends when nobody runs as a primary any more.
void World::resume() {
  if (!store_.paused) return;
  bool leads = std::any_of(nodes_.begin(), nodes_.end(),
                           [](const SimNode& node) { return node.server.state == Server::kPrimary; });
  if (!store_.leader && !leads) {
    store_.paused = false;
    ++store_.revision;
    return wake();
  }
  if (store_.leader && !store_.request) request(Request::Kind::kResume, "", false);
  later(1000, [this] { resume(); });
}

// The leader and another are gone for long; whoever is there shall lead, at any price.
void World::force_failover(SimNode& leader, Ms lasts) {
  for (SimNode* node : {&leader, &any_node()}) {
    kill_agent(*node);
    later(lasts + 3000, [this, name = node->name] { revive_agent(*find(name)); });
  }
  later(random(500, 3000), [this] {
    if (!healed_) request(Request::Kind::kFailover, chance(0.3) ? any_node().name : "", true);
  });
}

// The record says that acknowledged commits are on one node alone, and the disk of that node is lost: its agent was
// about to record so when the disk went. Or there is no record any more, and one has no data. Rightly nobody is
// elected, until a user forces it.
void World::last_resort() {
  bool only_copy = store_.sync && store_.sync->leader == wiped_ && store_.sync->set.required == 0;
  bool unknown = store_lost_ && std::any_of(nodes_.begin(), nodes_.end(), [](const SimNode& node) {
                   return node.server.state == Server::kAbsent || node.server.state == Server::kBuilding;
                 });
  if ((only_copy || unknown) && !store_.leader) request(Request::Kind::kFailover, "", true);
}

}  // namespace pgb::ha::testing
