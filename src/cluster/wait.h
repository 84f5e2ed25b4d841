// Waits for units to be what they are to be, and says meanwhile what they wait for.
#pragma once

#include <atomic>
#include <chrono>

#include "cluster/units.h"

namespace pgb::cluster {

struct Waiting {
  const Session& session;
  const model::Cluster& cluster;
  const Secrets& secrets;
  // Shared by all that wait together, or null: how many servers are still coming up, and whether one has failed,
  // so that nobody waits for it.
  std::atomic<int>* coming = nullptr;
  std::atomic<bool>* failed = nullptr;
  bool named = false;  // one unit was asked for: those it needs for a leader may be down, and are not waited for
  std::chrono::milliseconds patience{120000};  // while nothing happens that had not happened before
};

// Until the server answers, and, for a replica, until its primary sees it stream. kNotReady if its
// program ended (with its last output), the agent's reason if that failed, kTimeout, kInterrupted.
Status wait_for_node(const Waiting& waiting, const model::Balancer& group, const model::Node& node);

// Until a query goes through the balancer; if it alone was asked for and nobody can lead its group as long as others do
// not run: until it listens, and says who is missing. Errors as of wait_for_node.
Status wait_for_balancer(const Waiting& waiting, const model::Balancer& balancer);

}  // namespace pgb::cluster
