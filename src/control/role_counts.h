// How often roles have changed since this process began to look: what the balancer sees of the servers, and what the
// lease store's history tells of the group's elections, if it is kept here.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "dcs/role_change.h"

namespace pgb::control {

struct RoleCounts {
  uint64_t primary_changes = 0;  // another node was found to be the primary
  uint64_t primary_losses = 0;   // there was none any more
  double without_primary_s = 0;  // altogether, up to now
  uint64_t elections = 0;        // a node took the role, under an epoch of its own: one of the next three
  uint64_t firsts = 0;           // of a group that nobody had led
  uint64_t switchovers = 0;      // its leader let go because that was asked for
  uint64_t failovers = 0;        // it was lost, or gave up by itself
  uint64_t forced = 0;           // of the failovers: at the user's word, past the record

  // New lines of the history, oldest first.
  void count(const std::vector<dcs::HistoryLine>& lines) {
    for (const dcs::HistoryLine& line : lines) {
      if (line.action == "release") asked_for_ = line.request == "switchover";
      if (line.action != "acquire" && line.action != "forced") continue;
      const bool by_force = line.action == "forced";
      ++elections;
      ++(line.epoch <= 1 ? firsts : asked_for_ && !by_force ? switchovers : failovers);
      if (by_force) ++forced;
      asked_for_ = false;
    }
  }

 private:
  bool asked_for_ = false;  // the role was let go for a switchover, and nobody has taken it since
};

}  // namespace pgb::control
