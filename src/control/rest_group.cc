// Who leads the group, who follows whom, and what happened to the roles, as routes.
#include <cmath>

#include "base/log.h"
#include "control/group_roles.h"
#include "control/node_json.h"
#include "control/rest_json.h"
#include "control/rest_route.h"

namespace pgb::control {
namespace {

using Json = nlohmann::json;

Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Result<GroupRoles::Now> roles_now(const RestCall& call) {
  const GroupRoles* roles = call.rest.actions.roles;
  if (roles == nullptr) return Error(Code::kNotReady, "no agents choose the primary here");
  return roles->now();
}

Json watchdog_json(const Result<GroupRoles::Now>& now) {
  if (!now) return {{"kind", "none"}, {"running", false}, {"leader", Json()}, {"text", now.error().message}};
  std::string text =
      now->leader.empty() ? "nobody leads" : now->leader + " leads under epoch " + std::to_string(now->epoch);
  if (now->paused) text += "; paused: no server takes over by itself";
  if (const std::string waits = now->commits_wait(); !waits.empty()) text += "; " + waits;
  return {{"kind", "agents"}, {"running", !now->paused}, {"leader", or_null(now->leader)}, {"text", text}};
}

http::Response watchdog_status(const RestCall& call) { return json_response(watchdog_json(roles_now(call))); }

http::Response watchdog_info(const RestCall& call) {
  const auto now = roles_now(call);
  const GroupRoles::Now known = now ? *now : GroupRoles::Now();
  Json document = watchdog_json(now);
  document["cluster"] = known.cluster;
  document["group"] = call.rest.settings.group;
  document["epoch"] = known.epoch;
  document["durability"] = known.durability;
  document["sync_members"] = known.sync_members;
  document["sync_required"] = known.sync_required;
  document["request"] = known.request ? Json(*known.request) : Json();
  document["members"] = Json::array();
  for (const GroupRoles::Member& member : known.members) {
    document["members"].push_back({{"name", member.name},
                                   {"state", member.state},
                                   {"sentence", member.sentence},
                                   {"follows", member.follows ? or_null(*member.follows) : Json()},
                                   {"timeline", member.timeline},
                                   {"age_s", std::round(member.age_s * 1000) / 1000}});
  }
  return json_response(document);
}

http::Response history(const RestCall& call) {
  const GroupRoles* roles = call.rest.actions.roles;
  Json lines = Json::array();
  if (roles == nullptr || !roles->has_store()) return json_response({{"kept", false}, {"history", lines}});
  const auto known = roles->history();
  if (!known && known.error().code != Code::kNotReady) return rest_refusal(known.error());
  if (known) {
    for (const dcs::HistoryLine& line : *known) {
      lines.push_back({{"time", line.time},
                       {"node", line.node},
                       {"action", line.action},
                       {"epoch", line.epoch},
                       {"text", line.text}});
    }
  }
  return json_response({{"kept", true}, {"history", lines}});
}

Json edge(const std::string& from, const proxy::NodeView& to, const char* known_by) {
  return {{"from", from}, {"to", to.name}, {"behind_bytes", to.gauge->behind_bytes.load()}, {"known_by", known_by}};
}

// As the agents say, else from the primary to each healthy replica.
Json edges(const proxy::TopologySnapshot& topology, const Result<GroupRoles::Now>& now) {
  Json list = Json::array();
  if (now) {
    for (const GroupRoles::Member& member : now->members) {
      const proxy::NodeView* to = topology.find(member.name);
      const bool streams = to != nullptr && to->healthy && member.streaming;
      if (streams && member.follows && !member.follows->empty()) {
        list.push_back(edge(*member.follows, *to, "agents"));
      }
    }
    return list;
  }
  const proxy::NodeView* primary = topology.primary();
  if (primary == nullptr) return list;
  for (const proxy::NodeView& node : topology.nodes) {
    if (node.healthy && node.role == proxy::NodeRole::kReplica) list.push_back(edge(primary->name, node, "roles"));
  }
  return list;
}

http::Response topology(const RestCall& call) {
  const proxy::Admin& proxy = call.rest.actions.proxy;
  const proxy::TopologyPtr now = proxy.topology();
  const proxy::NodeView* primary = now->primary();
  return json_response({{"group", call.rest.settings.group},
                        {"version", now->version},
                        {"primary", primary == nullptr ? Json() : Json(primary->name)},
                        {"nodes", nodes_json(call.rest.actions)},
                        {"edges", edges(*now, roles_now(call))}});
}

}  // namespace

std::vector<RestRoute> group_routes() {
  return {
      {"GET", "/api/v1/topology", Role::kViewer, "the group as a picture", "Topology", topology},
      {"GET", "/api/v1/history", Role::kViewer, "changes of roles, and why", "History", history},
      {"GET", "/api/v1/watchdog/status", Role::kViewer, "whether somebody watches over the primary", "WatchdogStatus",
       watchdog_status},
      {"GET", "/api/v1/watchdog/info", Role::kViewer, "what watches over the primary, and what it knows",
       "WatchdogInfo", watchdog_info},
  };
}

}  // namespace pgb::control
