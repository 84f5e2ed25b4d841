// Restarts a group whose agents choose its primary without taking it out of service.
#pragma once

#include <string>
#include <vector>

#include "cluster/session.h"

namespace pgb::cluster {

// Whether `name` (a server, or empty: all) is to be restarted this way: by the groups it is of.
bool restarts_in_turn(const Session& session, const std::string& name);

// In this order: replicas, one after the other, each streams again (and is counted on for commits again) before the
// next; then the primary hands over to one of them and is restarted as a replica. Where nobody can take over it is
// restarted in place, and says so. Balancers go on: clients stay connected. With `name` only that server. Can be run
// again. As stop(), start(), switchover().
Status restart_in_turn(Session& session, const std::string& name);
// What it would do, one line a step. Touches nothing.
Result<std::vector<std::string>> plan_restart_in_turn(Session& session, const std::string& name);

}  // namespace pgb::cluster
