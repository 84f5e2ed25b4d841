// Who holds the key and is no primary yet: it is promoted, or lets go.
#include <fmt/format.h>

#include "ha/candidate.h"
#include "ha/deciding.h"

namespace pgb::ha {
namespace {

// Why it will never lead under the key that it holds; empty: it may.
std::string cannot_lead(const Look& look) {
  const OwnView& self = look.self();
  const Epoch epoch = look.store().leader->epoch;
  // A promotion uses up its epoch: the next one needs a timeline of its own. `led` is above it if it was a primary that
  // was about to take a higher one.
  if (self.led >= epoch) return "it was promoted under it before";
  if (self.promised > epoch) return fmt::format("it promised {}", self.promised);
  if (self.spent >= epoch) return "its promotion failed";
  return "";
}

Decision give_up(const Look& look, Event event, const std::string& why) {
  auto decision =
      look.row(event, fmt::format("{} gives epoch {} up: {}", look.self().name, look.store().leader->epoch, why));
  decision.epoch = next_epoch(look.view);
  const auto& request = look.store().request;  // whom a switchover is for that comes first, as before
  if (request && request->kind == Request::Kind::kSwitchover && request->node != look.self().name) {
    decision.node = request->node;
  }
  return decision;
}

}  // namespace

std::optional<Decision> useless_key(const Look& look) {
  if (!look.store().reachable || !holds_key(look.view)) return std::nullopt;
  std::string why = cannot_lead(look);
  if (why.empty() && look.paused()) return std::nullopt;                  // nobody else might be elected
  if (why.empty()) why = "its server went down before it was a primary";  // and may take long to come up
  return give_up(look, Event::kCannotPromote, why);
}

Decision decide_elected(const Look& look) {
  const OwnView& self = look.self();
  const Epoch epoch = look.store().leader->epoch;
  if (look.late()) return give_up(look, Event::kLate, "its lease has run out");
  if (!look.store().reachable) {
    return look.row(Event::kStoreSilent,
                    fmt::format("{} is elected for epoch {}, but the store is silent", self.name, epoch));
  }
  if (const std::string why = cannot_lead(look); !why.empty()) return give_up(look, Event::kCannotPromote, why);
  auto decision = look.row(Event::kPromote, fmt::format("{} holds epoch {} and is promoted to timeline {}", self.name,
                                                        epoch, look.store().epoch.timeline));
  decision.epoch = epoch;
  decision.timeline = look.store().epoch.timeline;
  decision.sync.closed = look.settings().durability != Durability::kAsync;
  decision.soon = true;
  return decision;
}

}  // namespace pgb::ha
