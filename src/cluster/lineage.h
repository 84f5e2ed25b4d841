// Which WAL a server has by its timelines: what was written elsewhere after a fork is not in it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace pgb::cluster {

struct Lineage {
  uint64_t timeline = 0;              // its own
  std::map<uint64_t, uint64_t> ends;  // of each timeline before: where it was left

  // Whether a commit is in it whose record begins at `lsn` or soon after, on that timeline.
  bool has(uint64_t on_timeline, uint64_t lsn) const;
};

// From the text of the timeline's history file.
Lineage parse_lineage(uint64_t timeline, const std::string& history);

}  // namespace pgb::cluster
