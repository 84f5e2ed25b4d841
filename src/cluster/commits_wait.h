// Whether a primary's commits find the copies that they wait for.
#pragma once

#include <map>
#include <string>

#include "cluster/probe.h"

namespace pgb::cluster {

// Why no commit is acknowledged by a primary with these synchronous_standby_names and standbys, and what to do; one
// sentence, empty if they are, or if the names are none that the agents set.
std::string commits_wait(const std::string& synchronous_standby_names,
                         const std::map<std::string, Follower>& followers);

}  // namespace pgb::cluster
