// Whether a replica is given reads: one judgement, for the router and for whoever tells others what it would do.
#pragma once

#include <chrono>
#include <cstdint>

#include "proxy/settings.h"
#include "proxy/topology_snapshot.h"

namespace pgb::proxy {

// By the limits of the settings; also if it has never been seen to catch up with anything. `now_ns`: steady clock.
inline bool is_too_far_behind(const NodeView& node, const PoolSettings& settings, int64_t now_ns) {
  const int64_t limit = std::chrono::nanoseconds(settings.max_replica_lag).count();
  if (limit > 0 && now_ns - node.gauge->caught_up_ns.load(std::memory_order_relaxed) > limit) return true;
  return settings.max_replica_lag_bytes > 0 && node.gauge->behind_bytes > settings.max_replica_lag_bytes;
}

// Of sessions that have written nothing. `has_primary`: there is a healthy one; without it nobody can say how far
// behind a replica is, and it is all there is.
inline bool takes_reads(const NodeView& node, const PoolSettings& settings, bool has_primary, int64_t now_ns) {
  if (node.role != NodeRole::kReplica || !node.healthy || node.weight <= 0) return false;
  if (node.gauge->drained.load(std::memory_order_relaxed)) return false;
  if (node.gauge->ejected_until_ns.load(std::memory_order_relaxed) != 0) return false;
  return !has_primary || !is_too_far_behind(node, settings, now_ns);
}

}  // namespace pgb::proxy
