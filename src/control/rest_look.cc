// What there is to see, as routes.
#include <unistd.h>

#include <chrono>

#include "control/live_state.h"
#include "control/metric_text.h"
#include "control/metrics.h"
#include "control/node_json.h"
#include "control/rest_json.h"
#include "control/rest_route.h"
#include "control/rows_json.h"
#include "control/text_of.h"
#include "http/server.h"
#include "pgclient/connection.h"

namespace pgb::control {
namespace {

constexpr std::chrono::milliseconds kProbeTimeout{5000};
constexpr size_t kLongestStatement = 8192;

// As a client of our own.
pgclient::ConnInfo to_ourselves(const RestSettings& settings, uint16_t port, const std::string& database) {
  pgclient::ConnInfo info;
  info.host = settings.probe_host;
  info.port = port;
  info.user = settings.probe_user;
  info.password = settings.probe_password;
  info.database = database.empty() ? settings.probe_database : database;
  info.application_name = "pgbalancer probe";
  info.tls = settings.tls->get().to_ourselves;
  return info;
}

// A real query on the way that clients take.
Json probe(const RestSettings& settings, uint16_t port) {
  const pgclient::ConnInfo info = to_ourselves(settings, port, "");
  const auto start = std::chrono::steady_clock::now();
  const Deadline deadline = Deadline::after(kProbeTimeout);
  std::string error;
  auto connection = pgclient::Connection::open(info, deadline);
  if (!connection) {
    error = connection.error().message;
  } else if (auto results = (*connection)->query("SELECT 1", deadline); !results) {
    error = results.error().message;
  }
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return {{"ok", error.empty()}, {"ms", ms}, {"error", error}};
}

http::Response status(const RestCall& call) {
  const proxy::Admin& proxy = call.rest.actions.proxy;
  const proxy::Stats stats = proxy.stats();
  const proxy::OrdersPtr orders = proxy.orders();
  Json document = {{"version", PGB_VERSION},
                   {"group", call.rest.settings.group},
                   {"uptime_s", stats.uptime_s},
                   {"clients", stats.clients},
                   {"max_clients", stats.max_clients},
                   {"servers", stats.servers},
                   {"sessions_total", stats.sessions_total},
                   {"refused_total", stats.refused_total},
                   {"bytes_from_clients", stats.bytes_from_clients},
                   {"bytes_from_servers", stats.bytes_from_servers},
                   {"paused", orders->paused},
                   {"paused_databases", orders->paused_databases},
                   {"shutting_down", orders->finishing},
                   {"topology_version", proxy.topology()->version},
                   {"nodes", nodes_json(call.rest.actions)}};
  const auto with_probe = call.query.find("probe");
  if (with_probe != call.query.end() && with_probe->second == "1") {
    document["query"] = probe(call.rest.settings, proxy.port());
  }
  return json_response(document);
}

http::Response nodes(const RestCall& call) { return json_response({{"nodes", nodes_json(call.rest.actions)}}); }

http::Response node(const RestCall& call) {
  const std::string& wanted = call.path.at("node");
  const Json all = nodes_json(call.rest.actions);
  for (const char* key : {"name", "id"}) {
    for (const Json& one : all) {
      const bool is_it = one[key].is_string() ? one[key] == wanted : std::to_string(one[key].get<size_t>()) == wanted;
      if (is_it) return json_response({{"node", one}});
    }
  }
  return http::problem(
      404, "there is no node of that name or number; nodes: " + call.rest.actions.proxy.topology()->describe());
}

http::Response health_stats(const RestCall& call) {
  return json_response({{"nodes", node_checks_json(call.rest.actions.proxy)}});
}

http::Response pools(const RestCall& call) {
  return json_response({{"pools", to_json(call.rest.actions.proxy.pools())}});
}
http::Response clients(const RestCall& call) {
  return json_response({{"clients", to_json(call.rest.actions.proxy.clients())}});
}
http::Response servers(const RestCall& call) {
  return json_response({{"servers", to_json(call.rest.actions.proxy.servers())}});
}
http::Response routes(const RestCall& call) {
  const proxy::Counted counted = call.rest.actions.proxy.counted();  // both of one moment
  return json_response({{"routes", to_json(counted.routes)}, {"verdicts", verdicts_json(counted.verdicts)}});
}
// Asked of a session like any other, which answers for itself: no server sees the statement, and nothing is run.
http::Response explain_route(const RestCall& call) {
  const Json body = Json::parse(call.request.body, nullptr, false);
  const auto statement = text_in(body, "statement", kLongestStatement);
  const bool in_database = body.is_object() && body.contains("database");
  const auto database = in_database ? text_in(body, "database") : std::optional(std::string());
  if (!statement || !database || body.size() != (in_database ? 2u : 1u)) {
    return http::problem(400,
                         R"(send {"statement": "…"} as JSON, of 8192 bytes at most, with "database" if it matters)");
  }
  const pgclient::ConnInfo info = to_ourselves(call.rest.settings, call.rest.actions.proxy.port(), *database);
  const Deadline deadline = Deadline::after(kProbeTimeout);
  const auto refused = [&](const Error& error) {
    return http::problem(
        409, "the balancer cannot be asked as " + info.user + " in " + info.database + ": " + error.message);
  };
  auto connection = pgclient::Connection::open(info, deadline);
  if (!connection) return refused(connection.error());
  auto results = (*connection)->query("EXPLAIN (ROUTE) " + *statement, deadline);
  if (!results) return refused(results.error());
  if (results->size() != 1 || results->front().rows.size() != 1 || results->front().rows[0].size() != 4) {
    return http::problem(500, "the balancer does not explain routes");
  }
  const auto& row = results->front().rows[0];
  const auto cell = [&](size_t i) { return row[i].value_or(""); };
  return json_response({{"node", cell(0) == "none" ? Json() : Json(cell(0))},
                        {"role", cell(1)},
                        {"reason", cell(2)},
                        {"verdict", cell(3)},
                        {"database", info.database},
                        {"user", info.user}});
}

http::Response cache(const RestCall& call) {
  return json_response({{"databases", to_json(call.rest.actions.proxy.caches())}});
}

http::Response processes(const RestCall& call) {
  const proxy::Stats stats = call.rest.actions.proxy.stats();
  const Json ours = {{"pid", ::getpid()},
                     {"started", utc(ago(stats.uptime_s))},
                     {"threads", stats.threads},
                     {"clients", stats.clients},
                     {"servers", stats.servers}};
  return json_response({{"processes", Json::array({ours})}});
}

http::Response metrics(const RestCall& call) {
  const auto accept = call.request.headers.find("accept");
  const bool openmetrics =
      accept != call.request.headers.end() && accept->second.find("application/openmetrics-text") != std::string::npos;
  http::Response response;
  response.headers["content-type"] = MetricText::content_type(openmetrics);
  response.body = metrics_of(call.rest.actions.proxy, call.rest.live.role_numbers(), openmetrics);
  return response;
}

}  // namespace

std::vector<RestRoute> look_routes() {
  const auto look = [](const char* path, const char* summary, const char* answers,
                       http::Response (*answer)(const RestCall&), std::vector<RestParameter> query = {}) {
    return RestRoute{"GET", path, Role::kViewer, summary, answers, answer, std::move(query)};
  };
  return {
      look("/metrics", "numbers for Prometheus", "text/plain", metrics),
      look("/api/v1/status", "the balancer and its servers", "Status", status,
           {{"probe", "integer", "1: with a query on the way that clients take"}}),
      look("/api/v1/health/stats", "how servers answered probes", "HealthStats", health_stats),
      look("/api/v1/nodes", "the servers", "Nodes", nodes),
      look("/api/v1/nodes/{node}", "one server, by name or number", "OneNode", node),
      look("/api/v1/pools", "connections to servers by database, user and node", "Pools", pools),
      look("/api/v1/clients", "the clients", "Clients", clients),
      look("/api/v1/servers", "the connections to servers", "Servers", servers),
      look("/api/v1/routes", "where requests went, and why", "RouteCounts", routes),
      {"POST",
       "/api/v1/routes/explain",
       Role::kViewer,
       "where a statement would go, and why; nothing is run",
       "RouteOf",
       explain_route,
       {},
       "Statement",
       0,
       true},
      look("/api/v1/processes", "the balancer's process", "Processes", processes),
      look("/api/v1/cache", "what is known of statements", "Cache", cache),
  };
}

}  // namespace pgb::control
