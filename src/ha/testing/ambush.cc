// A second failure at the moment when a new leader has just been promoted, or has just recorded where its commits are.
#include <fmt/format.h>

#include "ha/testing/world.h"

namespace pgb::ha::testing {

void World::slow_down(SimNode& node, Ms lasts) {
  node.server.slow = true;
  later(lasts, [this, name = node.name] { find(name)->server.slow = false; });
}

void World::lie_in_wait(Moment moment, SimNode& leader, Ms lasts) {
  awaited_ = moment;
  for (auto& node : nodes_) {
    if (chance(0.4)) slow_down(node, lasts + 3000);
  }
  if (chance(0.2)) return;
  kill_agent(leader);
  later(lasts + 4000, [this, name = leader.name] { revive_agent(*find(name)); });
}

void World::passes(Moment moment, const SimNode& node) {
  if (awaited_ != moment || healed_ || now_ < quiet_until_) return;
  awaited_.reset();
  later(random(0, 300), [this, name = node.name] {
    if (healed_) return;
    note(fmt::format("FAULT on {}, just then", name));
    for (const auto& other : nodes_) {  // who was gone comes back as this one goes
      if (other.name != name && chance(0.7))
        later(random(0, 1500), [this, back = other.name] { revive_agent(*find(back)); });
    }
    kill_agent(*find(name));
    later(random(2000, 12000), [this, name] { revive_agent(*find(name)); });
  });
}

}  // namespace pgb::ha::testing
