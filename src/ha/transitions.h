// The states of a node, what can meet it in each, and what is done then: one table. decide() finds out which row holds;
// docs/ha-states.md is printed from it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ha/decision.h"

namespace pgb::ha {

enum class State {
  kAbsent,    // no data
  kBuilding,  // a copy or rewind was broken off
  kStopped,   // data, no server, no key
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
  kRestartAsked,
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

struct Row {
  State from;
  Event event;
  Action action;
  State to;               // when the action succeeds
  std::string_view text;  // the event, for the diagram
};

std::string_view to_string(State state);
const std::vector<Row>& transitions();
const Row* find_row(State from, Event event);  // null: no such row; decide() never asks for one (simulated)

// The state diagram as a Markdown page with mermaid.
std::string state_diagram();

}  // namespace pgb::ha
