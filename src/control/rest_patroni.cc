// The group as Patroni's REST interface tells it, as routes; its probes stand in rest_probes.cc.
#include "control/live_state.h"
#include "control/patroni_view.h"
#include "control/rest_json.h"
#include "control/rest_route.h"

namespace pgb::control {
namespace {

http::Response cluster(const RestCall& call) {
  const RestSettings& ours = call.rest.settings;
  return json_response(patroni_cluster(*call.rest.actions.proxy.topology(), call.rest.live.role_numbers().roles,
                                       ours.cluster.empty() ? ours.group : ours.cluster));
}

http::Response history(const RestCall& call) {
  return json_response(patroni_history(call.rest.live.role_numbers().roles, call.rest.live.promotions()));
}

}  // namespace

std::vector<RestRoute> patroni_routes() {
  return {
      {"GET", "/cluster", Role::kViewer, "the group as Patroni tells it", "PatroniCluster", cluster},
      {"GET", "/history", Role::kViewer,
       "timelines that have ended: [timeline, position, why, when, who took over], as Patroni tells them; empty: "
       "nobody does",
       "application/json", history},
  };
}

}  // namespace pgb::control
