// What a node is, and what can meet it: the two keys of the table in transitions.cc.
#pragma once

namespace pgb::ha {

enum class State {
  kAbsent,    // no data
  kBuilding,  // a copy or rewind was broken off
  kStopped,   // data, no server, and no key that it leads under
  kStarting,
  kDown,       // holds the key, its server is down
  kDetached,   // standby that follows nobody
  kFollowing,  // standby that follows a leader
  kElected,    // holds the key, not yet promoted
  kOpening,    // primary with the key, closed until /sync is its own
  kLeading,    // primary with the key and the record
  kCutOff,     // primary, the store is silent
  kStray,      // primary without the key
};

enum class Event {
  kNoLeader,
  kLeaderReady,
  kLeaderNotReady,
  kLeaderGone,
  kStreams,
  kDiverged,
  kCopyNeeded,
  kForeign,
  kStart,
  kStarts,
  kPaused,
  kStoreSilent,
  kVouched,
  kPromiseNeeded,
  kOthersTurn,
  kNotEligible,
  kBest,
  kForced,
  kReinitAsked,
  kRestartSooner,
  kSuccessorReady,
  kNoRoom,
  kLate,
  kPromote,
  kCannotPromote,
  kReplaced,
  kStalled,
  kDiskFull,
  kKeyGone,
  kPromisedElsewhere,
  kRecord,
  kApply,
  kWaitsForCopies,
  kSwitchoverPrepare,
  kSwitchoverStop,
  kRequestSettled,
  kFailsafe,
  kLeaseRuns,
  kNothing,
};

}  // namespace pgb::ha
