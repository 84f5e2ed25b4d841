// What could stand in the way of local units. Used by the process runtime only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "os/users.h"
#include "runtime/process_runtime.h"

namespace pgb::runtime {

// One Error per obstacle. `running` are the cluster's units as list() tells.
std::vector<Obstacle> process_obstacles(const ProcessOptions& options, const std::optional<os::User>& run_as,
                                        const model::Cluster& cluster, const std::vector<UnitSpec>& units,
                                        const std::vector<UnitInfo>& existing);

}  // namespace pgb::runtime
