// Which server of a group is the primary, as the servers themselves say.
#pragma once

#include "cluster/units.h"

namespace pgb::cluster {

// The one that takes writes; of two, the one on the later timeline. kNotReady if none does.
Result<model::Node> find_primary(const model::Cluster& cluster, const Secrets& secrets, const model::Balancer& group);

}  // namespace pgb::cluster
