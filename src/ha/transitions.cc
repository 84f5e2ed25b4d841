#include "ha/transitions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

namespace pgb::ha {
namespace {

using S = State;
using E = Event;
using A = Action;

constexpr std::array kStates{"absent",    "building", "stopped", "starting", "down",    "detached",
                             "following", "elected",  "opening", "leading",  "cut_off", "stray"};

constexpr std::array kActions{"wait",       "start standby", "restart in place", "detach",     "follow",
                              "rewind",     "full copy",     "acquire",          "keep lease", "promote",
                              "fence",      "checkpoint",    "stop cleanly",     "release",    "record sync",
                              "apply sync", "clear request"};

}  // namespace

std::string_view to_string(State state) { return kStates.at(static_cast<size_t>(state)); }
std::string_view to_string(Action action) { return kActions.at(static_cast<size_t>(action)); }

const std::vector<Row>& transitions() {
  static const std::vector<Row> kRows{
      {S::kAbsent, E::kNoLeader, A::kWait, S::kAbsent, "no leader to copy from"},
      {S::kAbsent, E::kLeaderReady, A::kFullCopy, S::kStopped, "leader known"},
      {S::kBuilding, E::kNoLeader, A::kWait, S::kBuilding, "no leader to finish from"},
      {S::kBuilding, E::kCopyNeeded, A::kFullCopy, S::kStopped, "it cannot be finished"},
      {S::kBuilding, E::kForeign, A::kWait, S::kBuilding, "not this group's data"},
      {S::kStopped, E::kPaused, A::kWait, S::kStopped, "paused"},
      {S::kStopped, E::kStart, A::kStartStandby, S::kStarting, "always as a standby"},
      {S::kStopped, E::kCannotPromote, A::kRelease, S::kStopped, "it holds the key, and is not the primary of it"},
      {S::kStopped, E::kDiverged, A::kRewind, S::kStopped, "WAL that the leader has not"},
      {S::kStopped, E::kCopyNeeded, A::kFullCopy, S::kStopped, "rewind cannot help"},
      {S::kStopped, E::kReinitAsked, A::kFullCopy, S::kStopped, "reinit asked for"},
      {S::kStopped, E::kForeign, A::kWait, S::kStopped, "not this group's data"},
      {S::kStarting, E::kStarts, A::kWait, S::kDetached, "not yet up"},
      {S::kStarting, E::kReinitAsked, A::kFence, S::kStopped, "reinit asked for"},

      {S::kDown, E::kPaused, A::kWait, S::kDown, "paused"},
      {S::kDown, E::kLate, A::kStartStandby, S::kStarting, "lease run out"},
      {S::kDown, E::kReplaced, A::kStartStandby, S::kStarting, "newer epoch"},
      {S::kDown, E::kRestartSooner, A::kRestartInPlace, S::kLeading, "restart is sooner, or nobody can take over"},
      {S::kDown, E::kSuccessorReady, A::kRelease, S::kStopped, "a hand-over is sooner, or asked for"},
      {S::kDown, E::kNoRoom, A::kWait, S::kDown, "disk full, nobody has room"},

      {S::kDetached, E::kStoreSilent, A::kWait, S::kDetached, "store silent"},
      {S::kDetached, E::kPaused, A::kWait, S::kDetached, "paused"},
      {S::kDetached, E::kVouched, A::kWait, S::kDetached, "it vouched for the leader"},
      {S::kDetached, E::kPromiseNeeded, A::kDetach, S::kDetached, "leader gone"},
      {S::kDetached, E::kOthersTurn, A::kWait, S::kDetached, "a better one's turn"},
      {S::kDetached, E::kNotEligible, A::kWait, S::kDetached, "may not lead"},
      {S::kDetached, E::kBest, A::kAcquire, S::kElected, "the best that may lead"},
      {S::kDetached, E::kForced, A::kAcquire, S::kElected, "forced"},
      {S::kDetached, E::kLeaderReady, A::kFollow, S::kFollowing, "leader known"},
      {S::kDetached, E::kLeaderNotReady, A::kWait, S::kDetached, "leader elected, not yet primary"},
      {S::kDetached, E::kDiverged, A::kRewind, S::kStopped, "WAL that the leader has not"},
      {S::kDetached, E::kCopyNeeded, A::kFullCopy, S::kStopped, "rewind cannot help"},
      {S::kDetached, E::kReinitAsked, A::kFullCopy, S::kStopped, "reinit asked for"},
      {S::kDetached, E::kForeign, A::kWait, S::kDetached, "not this group's data"},

      {S::kFollowing, E::kStoreSilent, A::kWait, S::kFollowing, "store silent"},
      {S::kFollowing, E::kPaused, A::kWait, S::kFollowing, "paused"},
      {S::kFollowing, E::kVouched, A::kWait, S::kFollowing, "it vouched for the leader"},
      {S::kFollowing, E::kLeaderGone, A::kDetach, S::kDetached, "leader gone"},
      {S::kFollowing, E::kStreams, A::kWait, S::kFollowing, "streams"},
      {S::kFollowing, E::kLeaderReady, A::kFollow, S::kFollowing, "another leader or epoch"},
      {S::kFollowing, E::kLeaderNotReady, A::kWait, S::kFollowing, "leader elected, not yet primary"},
      {S::kFollowing, E::kDiverged, A::kRewind, S::kStopped, "WAL that the leader has not"},
      {S::kFollowing, E::kCopyNeeded, A::kFullCopy, S::kStopped, "rewind cannot help"},
      {S::kFollowing, E::kForeign, A::kWait, S::kFollowing, "not this group's data"},
      {S::kFollowing, E::kReinitAsked, A::kFullCopy, S::kStopped, "reinit asked for"},
      {S::kFollowing, E::kWaitsForCopies, A::kWait, S::kFollowing, "reinit asked for, still needed"},

      {S::kElected, E::kStoreSilent, A::kWait, S::kElected, "store silent"},
      {S::kElected, E::kLate, A::kRelease, S::kDetached, "lease run out"},
      {S::kElected, E::kCannotPromote, A::kRelease, S::kDetached, "promotion failed, or a later epoch promised"},
      {S::kElected, E::kPromote, A::kPromote, S::kOpening, "elected"},

      {S::kOpening, E::kReplaced, A::kFence, S::kStopped, "newer epoch"},
      {S::kOpening, E::kLate, A::kFence, S::kStopped, "lease run out"},
      {S::kOpening, E::kPromisedElsewhere, A::kAcquire, S::kOpening, "a higher epoch was promised"},
      {S::kOpening, E::kStalled, A::kFence, S::kDown, "stalled, another can lead, or it is for long"},
      {S::kOpening, E::kDiskFull, A::kFence, S::kDown, "disk full, another has room"},
      {S::kOpening, E::kRequestSettled, A::kClearRequest, S::kOpening, "resume asked for"},
      {S::kOpening, E::kApply, A::kApplySync, S::kOpening, "to be closed"},
      {S::kOpening, E::kRecord, A::kRecordSync, S::kLeading, "the copies have all"},
      {S::kOpening, E::kWaitsForCopies, A::kKeepLease, S::kOpening, "copies behind"},

      {S::kLeading, E::kReplaced, A::kFence, S::kStopped, "newer epoch"},
      {S::kLeading, E::kLate, A::kFence, S::kStopped, "lease run out"},
      {S::kLeading, E::kPromisedElsewhere, A::kAcquire, S::kLeading, "a higher epoch was promised"},
      {S::kLeading, E::kStalled, A::kFence, S::kDown, "stalled, another can lead, or it is for long"},
      {S::kLeading, E::kDiskFull, A::kFence, S::kDown, "disk full, another has room"},
      {S::kLeading, E::kRequestSettled, A::kClearRequest, S::kLeading, "request done or refused"},
      {S::kLeading, E::kSwitchoverPrepare, A::kCheckpoint, S::kLeading, "switchover, phase 1"},
      {S::kLeading, E::kSwitchoverStop, A::kStopCleanly, S::kDown, "switchover, phase 2"},
      {S::kLeading, E::kRecord, A::kRecordSync, S::kLeading, "sync set: record"},
      {S::kLeading, E::kApply, A::kApplySync, S::kLeading, "sync set: apply"},
      {S::kLeading, E::kWaitsForCopies, A::kKeepLease, S::kLeading, "copies behind"},
      {S::kLeading, E::kNothing, A::kKeepLease, S::kLeading, "all is well"},

      {S::kCutOff, E::kPaused, A::kWait, S::kCutOff, "paused"},
      {S::kCutOff, E::kReplaced, A::kFence, S::kStopped, "a member knows a newer epoch"},
      {S::kCutOff, E::kFailsafe, A::kWait, S::kCutOff, "members vouch for it"},
      {S::kCutOff, E::kLeaseRuns, A::kWait, S::kCutOff, "lease still runs"},
      {S::kCutOff, E::kLate, A::kFence, S::kStopped, "lease run out, nobody vouches"},

      {S::kStray, E::kPaused, A::kAcquire, S::kLeading, "paused, nobody leads"},
      {S::kStray, E::kReplaced, A::kFence, S::kStopped, "another leads"},
      {S::kStray, E::kLate, A::kFence, S::kStopped, "not covered since its lease ran out"},
      {S::kStray, E::kKeyGone, A::kAcquire, S::kLeading, "covered all the time, no later leader"},
  };
  return kRows;
}

const Row* find_row(State from, Event event) {
  static const auto kIndex = [] {
    std::map<std::pair<State, Event>, const Row*> index;
    for (const Row& row : transitions()) index.emplace(std::pair{row.from, row.event}, &row);
    return index;
  }();
  auto it = kIndex.find({from, event});
  return it == kIndex.end() ? nullptr : it->second;
}

std::string state_diagram() {
  std::string text =
      "# States of a node\n\nPrinted from the table in `src/ha/transitions.cc`; a test compares. An arrow reads: what "
      "was found / what is done.\nRows that wait in the same state are in the table below only.\n\n"
      "```mermaid\nstateDiagram-v2\n";
  for (const Row& row : transitions()) {
    if (row.action == Action::kWait && row.from == row.to) continue;
    text +=
        fmt::format("  {} --> {}: {} / {}\n", to_string(row.from), to_string(row.to), row.text, to_string(row.action));
  }
  text += "```\n\n| state | found | done | then |\n|---|---|---|---|\n";
  for (const Row& row : transitions()) {
    text +=
        fmt::format("| {} | {} | {} | {} |\n", to_string(row.from), row.text, to_string(row.action), to_string(row.to));
  }
  return text;
}

}  // namespace pgb::ha
