// What there is to measure, for Prometheus: a view of the same live state as the tables of the console.
#pragma once

#include <string>

#include "control/live_state.h"
#include "proxy/admin.h"

namespace pgb::control {

// The number of series is bounded: of databases and pools, those with the most requests have their own (100 and 200),
// the rest are one, "(other)"; reasons of routes are at most 256, slots of a node 20. What is not known any more is
// left out. Any thread.
std::string metrics_of(const proxy::Admin& proxy, const LiveState::RoleNumbers& roles, bool openmetrics);

}  // namespace pgb::control
