// What an agent is to do next, and the sentence that says why.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ha/state.h"
#include "ha/view.h"

namespace pgb::ha {

enum class Action {
  kWait,            // nothing but to publish and look again
  kStartStandby,    // start the server with standby.signal, following nobody
  kRestartInPlace,  // start it as the primary it was, under `epoch` and its last sync setting
  kDetach,          // write down the promise `epoch`, end the walreceiver, then read and publish flushed
  kFollow,          // write down the promise `epoch`, stream from `node`
  kRewind,          // pg_rewind against `node`; clears `led` first
  kFullCopy,        // pg_basebackup from `node`; clears `led` first
  kAcquire,         // one transaction, see decide(): take the leader key for `epoch`, and `timeline`
  kKeepLease,       // renew the lease
  kPromote,         // promote to `timeline`, closed unless async; then `led` = `epoch`
  kFence,           // stop the server now, at any price; keep the rest for later
  kCheckpoint,      // CHECKPOINT, so that the stop to come is short
  kStopCleanly,     // stop so that the standbys have all WAL; bounded, then as kFence
  kRelease,         // promise `epoch`, publish, then give the leader key up, in favour of `node` if named
  kRecordSync,      // one transaction, see decide(): write /sync = `record`
  kApplySync,       // set synchronous_standby_names = standby_names(sync), reload; again changes nothing
  kClearRequest,    // the request is done or refused: the sentence goes to the history
};

std::string_view to_string(Action action);  // "start standby", …

struct Decision {
  State state = State::kAbsent;  // these two name the row of the transitions that it comes from
  Event event = Event::kNothing;
  Action action = Action::kWait;
  std::string node;
  Epoch epoch = 0;
  Timeline timeline = 0;  // kPromote, kAcquire: larger than any before; the agent lays the history files of all
                          // timelines up to it into pg_wal, so that PostgreSQL chooses exactly this number
  ServerSync sync;
  std::optional<SyncRecord> record;  // kAcquire, kRecordSync: what /sync is to be, but for the revision; none: as it is
  Epoch led = 0;                     // kAcquire: on disk `led` is at least this before the transaction is sent
  bool lossy = false;                // forced by the user: acknowledged commits may be lost
  bool soon = false;                 // look again at once (≤ 50 ms), not at the next tick
  std::string sentence;              // one, with names and numbers, without the final stop

  bool operator==(const Decision&) const = default;
};

}  // namespace pgb::ha
