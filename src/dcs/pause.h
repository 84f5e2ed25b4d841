// Maintenance, as it stands in a group's lease store: nobody changes roles by himself until it ends.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "dcs/dcs.h"
#include "dcs/keys.h"

namespace pgb::dcs {

struct Pause {
  std::string since;  // RFC 3339 UTC
  std::string by;     // user@machine
};

struct Begun {
  bool ours = false;  // false: another stood already, and stays as it is
  Pause stands;
};

// From now on, with a line of the history by `node`. Where the answer does not come, or another was faster, the store
// is looked at. kNotReady: that other one has just ended. kInDoubt: nobody knows whether it is paused. After any other
// error nothing has changed.
Result<Begun> begin_pause(Dcs& store, const Keys& keys, uint64_t epoch, const std::string& node, const Pause& pause);

// Has the leader end it, who must be the first to know, and waits for that. kNotReady: nobody leads (any more), so that
// it takes more to end it; kBusy: another request stands; kTimeout: the leader has not done it; the store's errors, and
// those of `go_on`, which is asked between two looks. Each tells what stands now: mostly the pause, and not the
// request.
Status end_pause(Dcs& store, const Keys& keys, const std::function<Status()>& go_on);

}  // namespace pgb::dcs
