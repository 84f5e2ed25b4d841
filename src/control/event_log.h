// The newest of what happened, for people. Bounded: the oldest is forgotten first.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace pgb::control {

struct LiveEvent {
  uint64_t id = 0;    // grows
  std::string time;   // RFC 3339, UTC, milliseconds
  std::string kind;   // "role": another primary, or none; "health"; "order": of an operator; "note": of the agents
  std::string node;   // empty: of the whole group
  int64_t epoch = 0;  // 0: none
  std::string text;
};

class EventLog {
 public:
  static constexpr size_t kMost = 200;

  void add(LiveEvent event) {
    event.id = ++newest_;
    events_.push_back(std::move(event));
    if (events_.size() > kMost) events_.pop_front();
  }
  uint64_t newest() const { return newest_; }
  const std::deque<LiveEvent>& all() const { return events_; }  // in the order in which they came to be known
  std::vector<LiveEvent> since(uint64_t id) const {
    std::vector<LiveEvent> out;
    for (const LiveEvent& event : events_) {
      if (event.id > id) out.push_back(event);
    }
    return out;
  }

 private:
  uint64_t newest_ = 0;
  std::deque<LiveEvent> events_;
};

}  // namespace pgb::control
