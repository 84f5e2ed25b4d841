// Which events a reader of the stream has, across processes: those of one process are numbered, and those that stand in
// the lease store's history are known by their revision there, whoever tells them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgb::control {

struct EventPosition {
  std::string run;       // of which process
  uint64_t event = 0;    // the newest one of it
  int64_t revision = 0;  // of the newest line of the history that was told

  // "run-event-revision": what stands in "id:" and comes back as Last-Event-ID.
  std::string text() const;
  // Of somebody who has nothing that is known here, if it is no such text.
  static EventPosition parse(std::string_view text);
};

}  // namespace pgb::control
