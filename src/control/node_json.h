// The group's servers as JSON, as the REST interface shows them. Only for .cc files.
#pragma once

#include <nlohmann/json.hpp>

#include "control/commands.h"
#include "proxy/admin.h"

namespace pgb::control {

// Schema "Node" of rest_schemas.h, each.
nlohmann::json nodes_json(const Actions& actions);
// Schema "NodeChecks", each.
nlohmann::json node_checks_json(const proxy::Admin& proxy);

}  // namespace pgb::control
