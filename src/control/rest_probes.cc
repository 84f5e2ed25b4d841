// Routes for load balancers and orchestrators, in Patroni's manner: the status says it all, 200 or 503, and nobody has
// to say who he is.
#include <cctype>
#include <chrono>
#include <cmath>

#include "control/live_state.h"
#include "control/patroni_view.h"
#include "control/rest_json.h"
#include "control/rest_route.h"
#include "http/server.h"
#include "proxy/read_eligibility.h"

namespace pgb::control {
namespace {

using Json = nlohmann::json;
using proxy::NodeRole;
using proxy::NodeView;

http::Response answer(bool ok, const std::string& text, const std::vector<std::string>& nodes = {}) {
  return json_response({{"ok", ok}, {"nodes", nodes}, {"text", text}}, ok ? 200 : 503);
}

std::string get(const RestCall& call, const char* name) {
  const auto found = call.query.find(name);
  return found == call.query.end() ? "" : found->second;
}

// "10MB", "16kB", "1048576": bytes, in PostgreSQL's units. Nothing if it is none.
std::optional<uint64_t> bytes_of(const std::string& text) {
  size_t digits = 0;
  while (digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits])) != 0) ++digits;
  if (digits == 0 || digits > 15) return std::nullopt;
  const double number = std::stod(text.substr(0, digits));
  const std::string unit = text.substr(digits);
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  if (unit.empty()) return static_cast<uint64_t>(number);
  for (int i = 0; i < 5; ++i) {
    if (unit == kUnits[i]) return static_cast<uint64_t>(std::min(number * std::pow(1024, i), 1e18));
  }
  return std::nullopt;
}

// Those that may get work: healthy, not drained, not to be ended soon; of the group, or the one that is asked for.
template <class Fits>
http::Response probe(const RestCall& call, const std::string& what, Fits fits) {
  const proxy::Admin& proxy = call.rest.actions.proxy;
  const proxy::TopologyPtr topology = proxy.topology();
  const std::string only = get(call, "node");
  if (!only.empty() && topology->find(only) == nullptr)
    return http::problem(404, "there is no node of that name; nodes: " + topology->describe());
  if (proxy.orders()->finishing) return answer(false, "the balancer is shutting down");
  std::vector<std::string> found;
  std::string behind;  // those that answer and get no reads all the same
  for (const NodeView& node : topology->nodes) {
    const bool works = node.healthy && !node.gauge->drained && (only.empty() || node.name == only);
    if (works && fits(node)) {
      found.push_back(node.name);
    } else if (works && node.role == NodeRole::kReplica) {
      behind += "; " + node.name + " is " + std::to_string(node.gauge->behind_bytes) + " bytes behind";
    }
  }
  if (found.empty()) return answer(false, "no " + what + ": " + topology->describe() + behind);
  return answer(true, what, found);
}

http::Response primary(const RestCall& call) {
  return probe(call, "primary", [](const NodeView& node) { return node.role == NodeRole::kPrimary; });
}

template <bool or_primary>
http::Response replica(const RestCall& call) {
  const std::string text = get(call, "lag");
  const auto lag = text.empty() ? std::optional<uint64_t>(UINT64_MAX) : bytes_of(text);
  if (!lag) return http::problem(400, "lag must be a number of bytes, also as 16kB, 10MB or 1GB");
  const proxy::Admin& balancer = call.rest.actions.proxy;
  const proxy::PoolSettings settings = balancer.pool_settings();
  const bool has_primary = balancer.topology()->primary() != nullptr;
  const int64_t now = std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  return probe(call, or_primary ? "server to read from" : "replica", [&](const NodeView& node) {
    if (node.role == NodeRole::kPrimary) return or_primary;
    return proxy::takes_reads(node, settings, has_primary, now) && node.gauge->behind_bytes <= *lag;
  });
}

http::Response any(const RestCall& call) {
  return probe(call, "healthy server", [](const NodeView&) { return true; });
}

// Who has which commits stands in the agents' record, as it was a moment ago.
template <SyncState... fitting>
http::Response by_record(const RestCall& call) {
  constexpr bool all = ((fitting == SyncState::kSync) || ...), some = ((fitting == SyncState::kQuorum) || ...);
  const std::string what = some  ? "replica of the agents' record, of which enough have each commit"
                           : all ? "replica that has each commit, as the agents' record has it"
                                 : "replica that streams without being in the agents' record";
  const auto roles = call.rest.live.role_numbers().roles;
  if (!roles) {
    return answer(false,
                  "who has each commit is not known: no agents choose the primary here, or their lease store does not "
                  "answer");
  }
  return probe(call, what, [&](const NodeView& node) {
    const SyncState state = sync_state_of(*roles, node.name);
    return node.role == NodeRole::kReplica && ((state == fitting) || ...);
  });
}

http::Response alive(const RestCall&) { return answer(true, "the balancer runs"); }

std::vector<RestParameter> of_a_node(bool with_lag = false) {
  std::vector<RestParameter> out = {{"node", "string", "that node alone"}};
  if (with_lag)
    out.push_back({"lag", "string", "bytes that a replica may be behind, beside max_replica_lag: 16kB, 10MB"});
  return out;
}

RestRoute route(const char* path, const char* summary, http::Response (*answer)(const RestCall&),
                std::vector<RestParameter> query = {}) {
  return {"GET", path, Role::kNobody, summary, "Probe", answer, std::move(query), nullptr, 503};
}

}  // namespace

std::vector<RestRoute> probe_routes() {
  std::vector<RestRoute> all = {
      route("/healthz", "the balancer runs", alive),
      route("/liveness", "the same", alive),
      route("/readyz", "the balancer has a server to send clients to", any, of_a_node()),
      route("/readiness", "the same", any, of_a_node()),
      route("/health", "the same", any, of_a_node()),
  };
  for (const char* path : {"/primary", "/leader", "/read-write"}) {
    all.push_back(route(path, "there is a primary that takes work", primary, of_a_node()));
  }
  all.push_back(route("/replica", "there is a replica that takes reads", replica<false>, of_a_node(true)));
  for (const char* path : {"/sync", "/synchronous"}) {
    all.push_back(
        route(path, "there is a replica that has each acknowledged commit", by_record<SyncState::kSync>, of_a_node()));
  }
  all.push_back(route("/quorum", "there is a replica of those of whom enough have each acknowledged commit",
                      by_record<SyncState::kSync, SyncState::kQuorum>, of_a_node()));
  for (const char* path : {"/async", "/asynchronous"}) {
    all.push_back(route(path, "there is a replica that streams, but may lack acknowledged commits",
                        by_record<SyncState::kAsync>, of_a_node()));
  }
  all.push_back(route("/read-only", "there is a server to read from", replica<true>, of_a_node(true)));
  return all;
}

}  // namespace pgb::control
