#include "control/live_json.h"

#include <cmath>

#include "control/rows_json.h"

namespace pgb::control {
namespace {

double rounded(double value, int digits = 3) {
  const double factor = std::pow(10, digits);
  return std::round(value * factor) / factor;
}

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(rounded(static_cast<double>(*value))) : Json();
}

Json to_json(const std::optional<Percentiles>& latency) {
  if (!latency) return nullptr;
  return {{"p50", rounded(latency->p50_ms)}, {"p95", rounded(latency->p95_ms)}, {"p99", rounded(latency->p99_ms)}};
}

Json to_json(const LiveNode& node) {
  Json doc = {{"name", node.name},
              {"address", node.address},
              {"role", node.role},
              {"last_role", node.last_role},
              {"state", node.state},
              {"reason", node.reason},
              {"weight", node.weight},
              {"timeline", node.timeline},
              {"lag_bytes", node.behind_bytes ? Json(*node.behind_bytes) : Json()},
              {"lag_s", or_null(node.behind_s)},
              {"servers", node.servers},
              {"busy", node.busy},
              {"probe_ms", rounded(node.probe_ms)},
              {"requests_per_s", rounded(node.rates.requests, 1)},
              {"reads_per_s", rounded(node.rates.reads, 1)},
              {"read_share", rounded(node.rates.read_share)},
              {"latency_ms", to_json(node.rates.latency)},
              {"agent", nullptr}};
  if (node.agent)
    doc["agent"] = {
        {"state", node.agent->state}, {"sentence", node.agent->sentence}, {"age_s", rounded(node.agent->age_s)}};
  return doc;
}

Json to_json(const std::optional<GroupRoles::Now>& roles) {
  if (!roles) return nullptr;
  Json doc = {{"leader", roles->leader.empty() ? Json() : Json(roles->leader)},
              {"epoch", roles->epoch},
              {"paused", roles->paused},
              {"request", roles->request ? Json(*roles->request) : Json()},
              {"durability", nullptr}};
  if (!roles->durability.empty()) {
    doc["durability"] = {{"mode", roles->durability},
                         {"members", roles->sync_members},
                         {"required", roles->sync_required},
                         {"sentence", durability_sentence(*roles)}};
  }
  return doc;
}

Json pools_of(const LiveView& view) {
  Json list = Json::array();
  for (const proxy::TrafficRow& row : view.pools) {
    const auto rate = view.rates.pools.find({row.database, row.user});
    list.push_back({{"database", row.database},
                    {"user", row.user},
                    {"clients", row.clients},
                    {"waiting", row.waiting},
                    {"longest_wait_s", rounded(row.longest_wait_s)},
                    {"active", row.active},
                    {"bound", row.bound},
                    {"idle", row.idle},
                    {"connecting", row.connecting},
                    {"requests_per_s", rounded(rate == view.rates.pools.end() ? 0 : rate->second, 1)}});
  }
  return list;
}

}  // namespace

Json to_json(const LiveView& view) {
  const Rates& rates = view.rates;
  Json doc = {
      {"v", 1},
      {"time", view.time},
      {"version", PGB_VERSION},
      {"group", view.group},
      {"cluster", view.cluster.empty() ? Json() : Json(view.cluster)},
      {"uptime_s", rounded(view.uptime_s)},
      {"state", view.state},
      {"sentence", view.sentence},
      {"ha", to_json(view.roles)},
      {"paused", view.paused},
      {"paused_databases", view.paused_databases},
      {"shutting_down", view.shutting_down},
      {"clients",
       {{"connected", view.clients},
        {"max", view.max_clients},
        {"waiting", view.waiting},
        {"longest_wait_s", rounded(view.longest_wait_s)},
        {"refused_total", view.refused_total}}},
      {"servers", {{"in_use", view.servers_in_use}, {"open", view.servers_open}, {"pool_size", view.pool_size}}},
      {"rates",
       {{"over_s", rounded(rates.seconds)},
        {"transactions_per_s", rounded(rates.transactions, 1)},
        {"requests_per_s", rounded(rates.requests, 1)},
        {"reads_per_s", rounded(rates.reads, 1)},
        {"bytes_from_clients_per_s", rounded(rates.bytes_from_clients, 0)},
        {"bytes_to_clients_per_s", rounded(rates.bytes_to_clients, 0)},
        {"latency_ms", to_json(rates.latency)}}},
      {"nodes", Json::array()},
      {"links", Json::array()},
      {"pools", pools_of(view)},
      {"routes", control::to_json(view.routes)}};
  for (const LiveNode& node : view.nodes) doc["nodes"].push_back(to_json(node));
  for (const LiveLink& link : view.links) {
    doc["links"].push_back({{"from", link.from}, {"to", link.to}, {"state", link.state}, {"source", link.source}});
  }
  return doc;
}

Json to_json(const LiveEvent& event) {
  return {{"id", event.id},
          {"time", event.time},
          {"kind", event.kind},
          {"node", event.node},
          {"epoch", event.epoch == 0 ? Json() : Json(event.epoch)},
          {"text", event.text}};
}

Json to_json(const ChartHistory& history) {
  using Point = ChartHistory::Point;
  Json doc = {{"step_s", ChartHistory::kStep.count()}, {"time_ms", Json::array()}, {"nodes", Json::object()}};
  const auto column = [&](const char* name, auto value) {
    Json& list = doc[name] = Json::array();
    for (const Point& point : history.points()) list.push_back(value(point));
  };
  const auto whole = [](float value) { return rounded(static_cast<double>(value), 1); };
  column("time_ms", [](const Point& point) { return Json(point.at_ms); });
  column("transactions_per_s", [&](const Point& point) { return whole(point.transactions); });
  column("requests_per_s", [&](const Point& point) { return whole(point.requests); });
  column("reads_per_s", [&](const Point& point) { return whole(point.reads); });
  column("p50_ms", [](const Point& point) { return or_null(point.p50_ms); });
  column("p95_ms", [](const Point& point) { return or_null(point.p95_ms); });
  column("p99_ms", [](const Point& point) { return or_null(point.p99_ms); });
  column("waiting", [&](const Point& point) { return whole(point.waiting); });
  column("longest_wait_ms", [&](const Point& point) { return whole(point.longest_wait_ms); });
  column("in_use", [&](const Point& point) { return whole(point.in_use); });
  column("open", [&](const Point& point) { return whole(point.open); });
  for (size_t i = 0; i < history.names().size(); ++i) {
    Json reads = Json::array(), lag = Json::array();
    for (const Point& point : history.points()) {
      const bool known = i < point.nodes.size();
      reads.push_back(known ? Json(whole(point.nodes[i].reads)) : Json());
      lag.push_back(known ? or_null(point.nodes[i].behind_s) : Json());
    }
    doc["nodes"][history.names()[i]] = {{"reads_per_s", std::move(reads)}, {"lag_s", std::move(lag)}};
  }
  return doc;
}

std::string line_of(const Json& document) { return document.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace pgb::control
