// The table of routes.
#include <iterator>

#include "control/rest_route.h"
#include "http/server.h"

namespace pgb::control {

const std::vector<RestRoute>& rest_routes() {
  static const std::vector<RestRoute> kRoutes = [] {
    std::vector<RestRoute> all;
    for (std::vector<RestRoute> (*part)() :
         {login_routes, look_routes, live_routes, group_routes, command_routes, probe_routes, patroni_routes}) {
      std::vector<RestRoute> routes = part();
      all.insert(all.end(), std::make_move_iterator(routes.begin()), std::make_move_iterator(routes.end()));
    }
    return all;
  }();
  return kRoutes;
}

http::Response rest_refusal(const Error& error) {
  std::string text = error.message;
  for (const auto& [label, detail] : error.details) text += "; " + label + ": " + detail;
  switch (error.code) {
    // What is wrong with a command line or the cluster file is another matter here: these go by the status.
    case Code::kUsage: return http::problem(400, text);
    case Code::kAuth: return http::problem(403, text);
    case Code::kNotReady: return http::problem(409, text);
    case Code::kConfig:
    case Code::kConfigUnreadable: return http::problem(422, text);
    case Code::kNotFound:
    case Code::kNoNode: return http::problem(404, error.code, text);
    case Code::kIsPrimary:
    case Code::kBusy: return http::problem(409, error.code, text);
    case Code::kTimeout: return http::problem(504, text);
    case Code::kInDoubt: return http::problem(504, error.code, text);
    default: return http::problem(500, error.code, text);
  }
}

}  // namespace pgb::control
