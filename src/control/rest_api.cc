#include "control/rest_api.h"

#include <chrono>
#include <cstdlib>
#include <optional>
#include <vector>

#include "base/strings.h"
#include "control/metric_text.h"
#include "control/metrics.h"
#include "control/rows_json.h"
#include "http/server.h"
#include "pgclient/connection.h"

namespace pgb::control {
namespace {

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
  return {
      {"name", node.name},          {"role", proxy::to_string(node.role)},     {"healthy", node.healthy},
      {"address", node.address()},  {"last_error", node.last_error},           {"drained", node.gauge->drained.load()},
      {"servers", numbers.servers}, {"sessions_total", numbers.sessions_total}};
}

std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    const bool escaped = text[i] == '%' && i + 2 < text.size() &&
                         std::isxdigit(static_cast<unsigned char>(text[i + 1])) &&
                         std::isxdigit(static_cast<unsigned char>(text[i + 2]));
    if (escaped) {
      byte = static_cast<unsigned>(std::strtoul(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16));
      i += 2;
    } else {
      byte = static_cast<unsigned char>(text[i] == '+' ? ' ' : text[i]);
    }
    out += static_cast<char>(byte);
  }
  return out;
}

Arguments query_of(std::string_view text) {
  Arguments arguments;
  for (const std::string& item : split(text, '&')) {
    if (item.empty()) continue;
    const size_t equals = std::min(item.find('='), item.size());
    arguments[decoded(item.substr(0, equals))] = equals < item.size() ? decoded(item.substr(equals + 1)) : "";
  }
  return arguments;
}

// What stands for each {name} of the pattern; nothing if the path is another one.
std::optional<Arguments> match(std::string_view pattern, std::string_view path) {
  const auto wanted = split(pattern, '/'), given = split(path, '/');
  if (wanted.size() != given.size()) return std::nullopt;
  Arguments found;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].size() > 2 && wanted[i].front() == '{') {
      found[wanted[i].substr(1, wanted[i].size() - 2)] = decoded(given[i]);
    } else if (wanted[i] != given[i]) {
      return std::nullopt;
    }
  }
  return found;
}

// What a reader that was cut off had last, as browsers say it.
std::optional<uint64_t> last_event_of(const http::Request& request) {
  const auto found = request.headers.find("last-event-id");
  return found == request.headers.end() ? std::nullopt : parse_u64(found->second);
}

http::Response refusal(const Error& error) {
  std::string text = error.message;
  for (const auto& [label, detail] : error.details) text += "; " + label + ": " + detail;
  switch (error.code) {
    case Code::kNotFound:
    case Code::kNoNode: return http::problem(404, text);
    case Code::kUsage: return http::problem(400, text);
    case Code::kAuth: return http::problem(403, text);
    default: return http::problem(422, text);
  }
}

}  // namespace

RestApi::RestApi(RestSettings settings, Actions actions)
    : settings_(std::move(settings)),
      actions_(std::move(actions)),
      live_(actions_.proxy, {settings_.group}),
      page_([this] { return live_.text(); }) {}

const std::vector<RestApi::Route>& RestApi::routes() {
  static const std::vector<Route> kRoutes = {
      {"GET", "/healthz", &RestApi::healthz},
      {"GET", "/metrics", &RestApi::metrics},
      {"GET", "/api/v1/status", &RestApi::status},
      {"GET", "/api/v1/pools", &RestApi::pools},
      {"GET", "/api/v1/clients", &RestApi::clients},
      {"GET", "/api/v1/servers", &RestApi::servers},
      {"GET", "/api/v1/routes", &RestApi::route_counts},
      {"GET", "/api/v1/snapshot", &RestApi::snapshot},
      {"GET", "/api/v1/events", &RestApi::events},
      {"GET", "/api/v1/control", &RestApi::help},
      {"POST", "/api/v1/control/{command}", &RestApi::command},
      {"POST", "/api/v1/nodes/{node}/{command}", &RestApi::command},
  };
  return kRoutes;
}

http::Response RestApi::handle(const http::Request& request) const {
  const size_t mark = std::min(request.target.find('?'), request.target.size());
  const std::string path = request.target.substr(0, mark);
  const Role role = role_of(request);
  if (WebPage::serves(path)) return page_.answer(request, path, role);
  if (role < Role::kViewer && path != "/healthz") {
    return http::problem(401, "send the header Authorization: Bearer with the balancer's token");
  }
  std::string other_method;
  for (const Route& route : routes()) {
    auto found = match(route.path, path);
    if (!found) continue;
    other_method = route.method;
    if (request.method != route.method) continue;
    const auto accept = request.headers.find("accept");
    const Call call{
        std::move(*found), query_of(std::string_view(request.target).substr(std::min(mark + 1, request.target.size()))),
        role,
        accept != request.headers.end() && accept->second.find("application/openmetrics-text") != std::string::npos,
        last_event_of(request)};
    return (this->*route.answer)(call);
  }
  if (!other_method.empty()) return http::problem(405, "use " + other_method + " on " + path);
  return http::problem(404, "there is no " + path + "; see /api/v1/status and /api/v1/control");
}

Role RestApi::role_of(const http::Request& request) const {
  if (http::has_bearer(request, settings_.token.reveal())) return Role::kOperator;
  const Secret& viewers = settings_.stats_token;
  return !viewers.empty() && http::has_bearer(request, viewers.reveal()) ? Role::kViewer : Role::kNobody;
}

http::Response RestApi::healthz(const Call&) const { return json({{"ok", true}}); }

http::Response RestApi::pools(const Call&) const { return json({{"pools", to_json(actions_.proxy.pools())}}); }
http::Response RestApi::clients(const Call&) const { return json({{"clients", to_json(actions_.proxy.clients())}}); }
http::Response RestApi::servers(const Call&) const { return json({{"servers", to_json(actions_.proxy.servers())}}); }
http::Response RestApi::route_counts(const Call&) const { return json({{"routes", to_json(actions_.proxy.routes())}}); }

http::Response RestApi::metrics(const Call& call) const {
  http::Response response;
  response.headers["content-type"] = MetricText::content_type(call.openmetrics);
  response.body = metrics_of(actions_.proxy, call.openmetrics);
  return response;
}

http::Response RestApi::help(const Call&) const {
  Json list = Json::array();
  for (const Command& command : commands()) {
    list.push_back({{"name", command.name}, {"arguments", command.arguments}, {"help", command.help}});
  }
  return json({{"commands", list}});
}

http::Response RestApi::command(const Call& call) const {
  Arguments arguments = call.query;
  if (const auto node = call.path.find("node"); node != call.path.end()) arguments["node"] = node->second;
  const auto outcome = run_command(actions_, call.role, call.path.at("command"), arguments);
  return outcome ? json(to_json(*outcome)) : refusal(outcome.error());
}

http::Response RestApi::snapshot(const Call& call) const {
  http::Response response;
  response.headers["content-type"] = "application/json";
  response.headers["cache-control"] = "no-store";
  response.body = live_.snapshot({name_of(call.role), ""});
  return response;
}

http::Response RestApi::events(const Call& call) const {
  constexpr std::chrono::milliseconds kWait{200};  // the connection is looked at in between
  const auto stream = live_.open(call.last_event);
  if (!stream) {
    http::Response full = http::problem(503, "too many read the stream of events; ask for /api/v1/snapshot instead");
    full.headers["retry-after"] = "5";
    return full;
  }
  http::Response response;
  response.headers["content-type"] = "text/event-stream";
  response.headers["cache-control"] = "no-store";
  response.body = "retry: 2000\n\n";
  response.more = [stream] { return std::optional(stream->next(kWait)); };
  return response;
}

http::Response RestApi::status(const Call& call) const {
  const proxy::Stats stats = actions_.proxy.stats();
  const proxy::TopologyPtr topology = actions_.proxy.topology();
  const proxy::OrdersPtr orders = actions_.proxy.orders();
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
                   {"paused", orders->paused},
                   {"paused_databases", orders->paused_databases},
                   {"shutting_down", orders->finishing},
                   {"topology_version", topology->version},
                   {"nodes", Json::array()}};
  for (const proxy::NodeView& node : topology->nodes) document["nodes"].push_back(node_json(node, stats));
  const auto with_probe = call.query.find("probe");
  if (with_probe != call.query.end() && with_probe->second == "1") {
    document["query"] = probe(settings_, actions_.proxy.port());
  }
  return json(document);
}

}  // namespace pgb::control
