// What can be told the balancer, as routes: the commands of commands.h, under the paths that operators look for.
#include "base/log.h"
#include "base/strings.h"
#include "control/rest_json.h"
#include "control/rest_route.h"
#include "control/rows_json.h"
#include "http/server.h"

namespace pgb::control {
namespace {

http::Response run(const RestCall& call, std::string_view name) {
  Arguments arguments = call.query;
  if (const auto node = call.path.find("node"); node != call.path.end()) arguments["node"] = node->second;
  std::string said(name);
  for (const auto& [key, value] : arguments) said += " " + key + "=" + value;
  log::info("REST: a command", {{"command", said}, {"user", call.user}, {"from", call.request.peer}});
  const auto outcome = run_command(call.rest.actions, call.role, name, arguments);
  return outcome ? json_response(to_json(*outcome)) : rest_refusal(outcome.error());
}

http::Response command(const RestCall& call) { return run(call, call.path.at("command")); }
http::Response invalidate_cache(const RestCall& call) { return run(call, "invalidate_cache"); }

// Agents are no part of the balancer, which neither starts nor stops them: what it can do is to have them leave the
// roles alone.
http::Response watchdog_start(const RestCall& call) { return run(call, "watchdog_start"); }
http::Response watchdog_stop(const RestCall& call) { return run(call, "watchdog_stop"); }

http::Response help(const RestCall&) {
  Json list = Json::array();
  for (const Command& each : commands()) {
    list.push_back({{"name", each.name},
                    {"alias", each.alias.empty() ? Json() : Json(each.alias)},
                    {"arguments", each.arguments},
                    {"help", each.help}});
  }
  return json_response({{"commands", list}});
}

const std::vector<RestParameter> kArguments = {{"database", "string", "of that database alone"},
                                               {"node", "string", "name or number of a node"},
                                               {"client", "string", "id of a client"},
                                               {"wait", "number", "seconds to wait until it has taken full effect"},
                                               {"limit", "number", "seconds after which sessions that are there end"},
                                               {"mode", "string", "of a shutdown: \"wait\" or \"fast\""}};

}  // namespace

std::vector<RestRoute> command_routes() {
  return {
      {"GET", "/api/v1/control", Role::kViewer, "the commands", "Commands", help},
      {"POST", "/api/v1/control/{command}", Role::kViewer, "gives a command; each says which role it needs", "Outcome",
       command, kArguments},
      {"POST", "/api/v1/nodes/{node}/{command}", Role::kViewer, "gives a command that is about a node", "Outcome",
       command, kArguments},
      {"POST",
       "/api/v1/cache/invalidate",
       Role::kOperator,
       "forgets what is known of statements' texts",
       "Outcome",
       invalidate_cache,
       {{"database", "string", "of that database alone"}}},
      {"POST", "/api/v1/watchdog/start", Role::kOperator, "ends what watchdog/stop began: the group's pause", "Outcome",
       watchdog_start},
      {"POST", "/api/v1/watchdog/stop", Role::kOperator, "no server takes over by itself: a pause of the group",
       "Outcome", watchdog_stop},
  };
}

}  // namespace pgb::control
