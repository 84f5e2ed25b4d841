// What is on this machine, whatever cluster it belongs to.
#pragma once

#include <memory>
#include <vector>

#include "cluster/session.h"

namespace pgb::cluster {

// Both runtimes, as far as they can be had; a missing one has no clusters.
std::vector<std::unique_ptr<runtime::Runtime>> all_runtimes(const OpenOptions& options);

}  // namespace pgb::cluster
