// How a server comes to stream from a leader: follow, else pg_rewind, else a full copy. The ladder always ends.
#pragma once

#include <string>

#include "ha/view.h"

namespace pgb::ha {

enum class Rung {
  kFollow,
  kRewind,
  kFullCopy,
  kForeign,  // another system identifier: nothing is touched
};

struct Rejoin {
  Rung rung = Rung::kFollow;
  std::string reason;  // the end of a sentence: "because …"
  bool operator==(const Rejoin&) const = default;
};

// Chosen by the timelines' history and by what was tried before. `leader` as it published itself.
Rejoin rejoin(const NodeView& self, const NodeView& leader);

}  // namespace pgb::ha
