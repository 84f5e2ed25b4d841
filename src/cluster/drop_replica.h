// Takes a replica away for good.
#pragma once

#include <string>

#include "cluster/session.h"

namespace pgb::cluster {

// The unit, its data and its slot on the group's primary, which must run (kNotReady). The balancer and the record are
// the caller's. Can be run again after any failure.
Status drop_replica(Session& session, const model::Cluster& cluster, const Secrets& secrets,
                    const model::Balancer& group, const std::string& name);

}  // namespace pgb::cluster
