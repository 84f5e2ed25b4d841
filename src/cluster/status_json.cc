#include <nlohmann/json.hpp>

#include "cluster/status.h"

namespace pgb::cluster {

using json = nlohmann::ordered_json;

static json optional_number(const auto& value) { return value ? json(*value) : json(nullptr); }

static json to_doc(const NodeStatus& node) {
  return json{{"name", node.name},
              {"node_id", node.node_id},
              {"role", node.role},
              {"state", node.state},
              {"reason", node.reason},
              {"address", node.address},
              {"port", node.port},
              {"version", node.version},
              {"timeline", node.timeline},
              {"flush_lsn", node.flush_lsn},
              {"replay_lsn", node.replay_lsn},
              {"lag_bytes", optional_number(node.lag_bytes)},
              {"lag_ms", optional_number(node.lag_ms)},
              {"slot", node.slot},
              {"slot_active", node.slot_active},
              {"uptime_s", node.uptime_s},
              {"source", node.source},
              {"age_s", node.age_s}};
}

static json to_doc(const std::optional<BalancerStatus::Paused>& paused) {
  if (!paused) return nullptr;
  if (paused->since.empty()) return false;
  return json{{"since", paused->since}, {"by", paused->by}};
}

static json to_doc(const BalancerStatus& balancer) {
  json nodes = json::array();
  for (const NodeStatus& node : balancer.nodes) nodes.push_back(to_doc(node));
  return json{{"name", balancer.name},
              {"state", balancer.state},
              {"reason", balancer.reason},
              {"address", balancer.address},
              {"port", balancer.port},
              {"pcp_port", balancer.pcp_port},
              {"rest_api_port", balancer.rest_api_port},
              {"query", {{"ok", balancer.query_ok}, {"ms", balancer.query_ms}, {"error", balancer.query_error}}},
              {"durability", balancer.durability},
              {"commits_wait", balancer.commits_wait.empty() ? json(nullptr) : json(balancer.commits_wait)},
              {"failover", balancer.failover},
              {"paused", to_doc(balancer.paused)},
              {"nodes", nodes}};
}

std::string to_json(const StatusDocument& document) {
  json balancers = json::array();
  for (const BalancerStatus& balancer : document.balancers) balancers.push_back(to_doc(balancer));
  return json{
      {"v", 1},
      {"cluster", document.cluster},
      {"state", document.state},
      {"runtime", document.runtime},
      {"engine", document.engine},
      {"time", document.time},
      {"seconds", document.seconds},
      {"notes", document.notes},
      {"balancers", balancers},
      {"last_event",
       document.last_text.empty() ? json(nullptr) : json{{"time", document.last_time}, {"text", document.last_text}}}}
      .dump();
}

}  // namespace pgb::cluster
