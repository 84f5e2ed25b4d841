// The live state as JSON, as docs/web.md describes it. Only for .cc files.
#pragma once

#include <nlohmann/json.hpp>

#include "control/chart_history.h"
#include "control/event_log.h"
#include "control/live_view.h"

namespace pgb::control {

using Json = nlohmann::json;

Json to_json(const LiveView& view);
Json to_json(const LiveEvent& event);
Json to_json(const ChartHistory& history);
// On one line; bytes that are no UTF-8 are replaced.
std::string line_of(const Json& document);

}  // namespace pgb::control
