// A node whose data a user wants to be copied anew, whether its server runs, starts, or cannot be started.
#include <fmt/format.h>

#include <algorithm>

#include "ha/deciding.h"

namespace pgb::ha {
namespace {

// Another group's data are never touched.
bool is_of_same_group(const NodeView& self, const NodeView& leader) {
  return self.system_id.empty() || self.system_id == leader.system_id;
}

}  // namespace

std::optional<Decision> reinit_asked(const Look& look, const NodeView& leader) {
  const OwnView& self = look.self();
  const auto& request = look.store().request;
  if (!request || request->kind != Request::Kind::kReinit || request->node != self.name) return std::nullopt;
  if (!is_of_same_group(self, leader)) return std::nullopt;
  // A leader that has yet to open may count on it.
  const auto& record = look.store().sync;
  const bool opened = record && record->leader == leader.name && record->epoch == leader.epoch;
  if (!opened || std::binary_search(record->set.members.begin(), record->set.members.end(), self.name)) {
    // Meanwhile it is what it would be otherwise: the leader may need it to open at all.
    const bool follows = look.state == State::kFollowing && self.following == Following{leader.name, leader.epoch};
    if (!follows || self.trouble != Trouble::kNone) return std::nullopt;
    return look.row(Event::kWaitsForCopies, fmt::format("{} keeps its data until {} has {}", self.name, leader.name,
                                                        opened ? "taken it out of the sync set" : "opened"));
  }
  const char* what = look.state == State::kStarting ? "ends its start to get" : "gets";
  auto decision =
      look.row(Event::kReinitAsked, fmt::format("{} {} a full copy of {}, as asked", self.name, what, leader.name));
  decision.node = leader.name;
  decision.epoch = leader.epoch;
  return decision;
}

}  // namespace pgb::ha
