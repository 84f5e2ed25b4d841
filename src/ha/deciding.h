// What the parts of decide() share. Not for others.
#pragma once

#include <optional>
#include <string>

#include "ha/decide.h"

namespace pgb::ha {

struct Look {
  const ClusterView& view;
  Time now;
  State state;

  const OwnView& self() const { return view.self; }
  const StoreView& store() const { return view.store; }
  const Settings& settings() const { return view.settings; }

  // The decision of the row (state, event).
  Decision row(Event event, std::string sentence) const;
  // The other node that leads by the store; null if nobody does.
  const LeaderKey* leader() const;
  bool late() const { return now >= covered_until(view); }
  // Roles are left alone. A leader that is asked to resume takes the group for resumed from that moment on, before the
  // pause can be over for anybody else: whoever may lead on without its lease never learns too late that others elect.
  bool paused() const;
};

// The leader key is this node's, by a lease that it knows.
bool holds_key(const ClusterView& view);

Decision decide_startup(const Look& look);  // absent, building, stopped, starting
Decision decide_down(const Look& look);
Decision decide_standby(const Look& look);  // detached, following
Decision decide_elected(const Look& look);
Decision decide_leader(const Look& look);     // opening, leading
Decision decide_uncovered(const Look& look);  // cut off, stray
Decision decide_sync(const Look& look);       // the rest of a leader's round

// In strict mode no standby but this member of the sync set could be in it.
bool is_last_copy(const Look& look, const std::string& name);

// Its server is down, and it holds the key without being the primary of it: it lets go, so that another is elected.
std::optional<Decision> useless_key(const Look& look);

// The reinit that was asked of this node, `leader` being a primary under the key's epoch; none: it was not, or cannot
// be done yet.
std::optional<Decision> reinit_asked(const Look& look, const NodeView& leader);

// The ladder, as a row of the present state. kFollow becomes `on_follow`.
Decision climb(const Look& look, const NodeView& leader, Epoch epoch, Event on_follow);

}  // namespace pgb::ha
