// Inside control only: what metrics tell of the group and of its servers, beside what the balancer does with them.
#pragma once

#include <vector>

#include "control/live_state.h"
#include "control/metric_text.h"
#include "control/node_numbers.h"

namespace pgb::control {

// Who leads, under which epoch, and how often that has changed.
void write_group(MetricText& out, const std::vector<NodeNumbers>& nodes, const LiveState::RoleNumbers& roles);

// What the servers say of themselves. What has not been said lately is left out.
void write_servers(MetricText& out, const std::vector<NodeNumbers>& nodes);

}  // namespace pgb::control
