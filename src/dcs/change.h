// Inside dcs only: one step of a local store's state, and its bytes in the log.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dcs/dcs.h"

namespace pgb::dcs {

constexpr std::chrono::seconds kMostTtl{9000000};  // etcd's limit

struct Change {
  Revision revision = 0;       // the store's revision afterwards
  std::vector<Event> events;   // all of this revision; empty: the revision stays
  std::vector<Lease> granted;  // before the events
  std::vector<LeaseId> ended;  // after the events, which hold the deletion of its keys
  LeaseId last_lease = 0;      // the highest id ever given; ids are never given twice
  bool restart = false;        // of a compacted log: what was before is forgotten, the events are the state
};

std::string encode(const Change& change);
std::optional<Change> decode(std::string_view bytes);  // nothing for what encode() cannot have written

}  // namespace pgb::dcs
