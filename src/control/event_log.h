// The newest of what happened, for people. Bounded: the oldest is forgotten first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "base/secret.h"
#include "control/event_position.h"

namespace pgb::control {

struct LiveEvent {
  uint64_t id = 0;    // grows
  std::string time;   // RFC 3339, UTC, milliseconds
  std::string kind;   // "role": another primary, or none; "health"; "order": of an operator; "note": of the agents
  std::string node;   // empty: of the whole group
  int64_t epoch = 0;  // 0: none
  std::string text;
  int64_t revision = 0;  // of its line in the lease store's history; 0: it is none
};

class EventLog {
 public:
  static constexpr size_t kMost = 200;

  void add(LiveEvent event) {
    event.id = ++newest_.event;
    newest_.revision = std::max(newest_.revision, event.revision);
    events_.push_back(std::move(event));
    if (events_.size() > kMost) events_.pop_front();
  }
  const EventPosition& newest() const { return newest_; }
  const std::deque<LiveEvent>& all() const { return events_; }  // in the order in which they came to be known
  // Those behind that one; lines of the history only if they are of a later revision.
  std::vector<LiveEvent> since(uint64_t id, int64_t revision = 0) const {
    std::vector<LiveEvent> out;
    for (const LiveEvent& event : events_) {
      if (event.id > id && (event.revision == 0 || event.revision > revision)) out.push_back(event);
    }
    return out;
  }

 private:
  EventPosition newest_{Secret::random(6).reveal()};  // a name that no other process has; no secret
  std::deque<LiveEvent> events_;
};

}  // namespace pgb::control
