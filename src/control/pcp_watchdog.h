// What pcp_watchdog_info shows: agents in place of pgpool-II's watchdogs, each with the server that it watches. Only
// for .cc files.
#pragma once

#include <string>

#include "control/group_roles.h"
#include "proxy/topology_snapshot.h"

namespace pgb::control {

// As JSON, in pgpool-II's words. `only`: the one node of that number; -1: all.
std::string pcp_watchdog_json(const GroupRoles::Now& now, const proxy::TopologySnapshot& topology, long only);

}  // namespace pgb::control
