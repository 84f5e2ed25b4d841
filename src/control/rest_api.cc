#include "control/rest_api.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "http/server.h"
#include "pgclient/connection.h"

namespace pgb::control {
namespace {

using Json = nlohmann::json;
constexpr std::chrono::milliseconds kProbeTimeout{5000};

http::Response json(const Json& document) {
  http::Response response;
  response.headers["content-type"] = "application/json";
  response.body = document.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return response;
}

// A real query on the way that clients take.
Json probe(const RestSettings& settings, uint16_t port) {
  pgclient::ConnInfo info;
  info.host = settings.probe_host;
  info.port = port;
  info.user = settings.probe_user;
  info.password = settings.probe_password;
  info.database = settings.probe_database;
  info.application_name = "pgbalancer probe";
  info.tls = settings.tls->get().to_ourselves;
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

Json node_json(const proxy::NodeView& node, const proxy::Stats& stats) {
  const auto found = stats.nodes.find(node.name);
  const proxy::Stats::Node numbers = found == stats.nodes.end() ? proxy::Stats::Node() : found->second;
  return {{"name", node.name},
          {"role", proxy::to_string(node.role)},
          {"healthy", node.healthy},
          {"address", node.address()},
          {"last_error", node.last_error},
          {"servers", numbers.servers},
          {"sessions_total", numbers.sessions_total}};
}

}  // namespace

RestApi::RestApi(RestSettings settings, proxy::Admin& proxy, std::function<Status()> reload)
    : settings_(std::move(settings)), proxy_(proxy), reload_(std::move(reload)) {}

http::Response RestApi::handle(const http::Request& request) const {
  const size_t mark = request.target.find('?');
  const std::string path = request.target.substr(0, mark);
  const std::string query = mark == std::string::npos ? "" : "&" + request.target.substr(mark + 1) + "&";
  if (path == "/healthz") {
    return request.method == "GET" ? json({{"ok", true}}) : http::problem(405, "use GET on /healthz");
  }
  if (!http::has_bearer(request, settings_.token.reveal())) {
    return http::problem(401, "send the header Authorization: Bearer with the balancer's token");
  }
  if (path == "/api/v1/status") {
    if (request.method != "GET") return http::problem(405, "use GET on " + path);
    return status(query.find("&probe=1&") != std::string::npos);
  }
  if (path == "/api/v1/control/reload") {
    return request.method == "POST" ? control_reload() : http::problem(405, "use POST on " + path);
  }
  return http::problem(404, "there is no " + path + "; see /api/v1/status");
}

http::Response RestApi::status(bool with_probe) const {
  const proxy::Stats stats = proxy_.stats();
  const proxy::TopologyPtr topology = proxy_.topology();
  Json document = {{"version", PGB_VERSION},
                   {"group", settings_.group},
                   {"uptime_s", stats.uptime_s},
                   {"clients", stats.clients},
                   {"max_clients", stats.max_clients},
                   {"servers", stats.servers},
                   {"sessions_total", stats.sessions_total},
                   {"refused_total", stats.refused_total},
                   {"bytes_from_clients", stats.bytes_from_clients},
                   {"bytes_from_servers", stats.bytes_from_servers},
                   {"topology_version", topology->version},
                   {"nodes", Json::array()}};
  for (const proxy::NodeView& node : topology->nodes) document["nodes"].push_back(node_json(node, stats));
  if (with_probe) document["query"] = probe(settings_, proxy_.port());
  return json(document);
}

http::Response RestApi::control_reload() const {
  const Status reloaded = reload_();
  if (reloaded.ok()) return json({{"ok", true}});
  std::string text = reloaded.error().message;
  for (const auto& [label, detail] : reloaded.error().details) text += "; " + label + ": " + detail;
  return http::problem(422, text);
}

}  // namespace pgb::control
