#include "control/rest_api.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>
#include <vector>

#include "base/strings.h"
#include "http/server.h"

namespace pgb::control {
namespace {

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

// "localhost:8080" without its port.
std::string_view host_of(std::string_view text) {
  const size_t bracket = text.rfind(']'), colon = text.rfind(':');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && colon < bracket)) return text;
  return parse_port(text.substr(colon + 1)) ? text.substr(0, colon) : text;
}

bool names_this_machine(std::string_view host) { return host == "localhost" || host == "127.0.0.1" || host == "[::1]"; }

// Of a request's method, the one under which it stands in the table.
std::string_view method_in_table(std::string_view method) {
  return method == "HEAD" ? std::string_view("GET") : method;
}

struct Found {
  const RestRoute* route = nullptr;  // null: the path is there, with other methods
  Arguments path;
  std::string methods;  // that the path has
  bool open = false;    // it has one for which nobody has to say who he is
};

// Nothing if there is no such path.
std::optional<Found> find(const std::string& method, std::string_view path) {
  std::optional<Found> found;
  for (const RestRoute& route : rest_routes()) {
    auto arguments = match(route.path, path);
    if (!arguments) continue;
    if (!found) found.emplace();
    found->open = found->open || route.needs == Role::kNobody;
    const std::string name = route.method;
    if (found->methods.find(name) == std::string::npos) {
      found->methods += (found->methods.empty() ? "" : ", ") + (name == "GET" ? "GET, HEAD" : name);
    }
    const bool is_probe = method == "OPTIONS" && route.otherwise != 0;  // those are asked with it, too
    if (found->route != nullptr || (method_in_table(method) != name && !is_probe)) continue;
    found->route = &route;
    found->path = std::move(*arguments);
  }
  return found;
}

http::Response other_methods(const std::string& method, const std::string& methods, const std::string& path) {
  if (method == "OPTIONS") return http::Response{204, {{"allow", methods + ", OPTIONS"}}, ""};
  auto answer = http::problem(405, "use " + methods + " on " + path);
  answer.headers["allow"] = methods + ", OPTIONS";
  return answer;
}

// A filter whose name is misspelt would be lost in silence.
std::optional<http::Response> unknown_argument(const RestRoute& route, const Arguments& given) {
  std::string known;
  for (const RestParameter& parameter : route.query) known += (known.empty() ? "" : ", ") + std::string(parameter.name);
  for (const auto& [name, value] : given) {
    const auto is_it = [&name = name](const RestParameter& parameter) { return name == parameter.name; };
    if (std::any_of(route.query.begin(), route.query.end(), is_it)) continue;
    return http::problem(400, std::string(route.path) + " knows no argument " + name +
                                  "; arguments: " + (known.empty() ? "none" : known));
  }
  return std::nullopt;
}

bool only_looks(const std::string& method) { return method == "GET" || method == "HEAD" || method == "OPTIONS"; }

std::string_view header_of(const http::Request& request, const char* name) {
  const auto found = request.headers.find(name);
  return found == request.headers.end() ? std::string_view() : std::string_view(found->second);
}

// The page that has a browser ask, if one does, is one of ours.
bool is_own_origin(const http::Request& request) {
  if (request.headers.count("origin") == 0) return true;
  const std::string ours = "://" + std::string(header_of(request, "host"));
  const std::string_view origin = header_of(request, "origin");
  return origin == "http" + ours || origin == "https" + ours;
}

// A page from elsewhere has a browser give a command. No page can alter these headers; what is no browser sends none.
// Over plain HTTP browsers send Origin alone.
bool is_command_from_elsewhere(const http::Request& request) {
  if (only_looks(request.method)) return false;
  if (request.headers.count("sec-fetch-site") == 0) return !is_own_origin(request);
  const std::string_view site = header_of(request, "sec-fetch-site");
  return site != "same-origin" && site != "none";
}

http::Response from_elsewhere() {
  return http::problem(403,
                       "a page from elsewhere has the browser ask for this: only the balancer's own page may; changed: "
                       "nothing; try: the page at / of this port, or a program that is no browser");
}

http::Response unknown_asker() {
  auto answer = http::problem(
      401, "send the header Authorization: Bearer with the balancer's token, or with one from /api/v1/auth/login");
  answer.headers["www-authenticate"] = "Bearer";
  return answer;
}

}  // namespace

http::Response RestApi::handle(const http::Request& request) {
  const size_t mark = std::min(request.target.find('?'), request.target.size());
  const std::string path = request.target.substr(0, mark);
  if (WebPage::serves(path)) return page_.answer(request, path, asker_of(request, only_looks(request.method)).role);
  if (is_command_from_elsewhere(request)) return from_elsewhere();
  auto found = find(request.method, path);
  const bool open = found && (found->route != nullptr ? found->route->needs == Role::kNobody : found->open);
  const bool looks = only_looks(request.method) || (found && found->route != nullptr && found->route->looks);
  const Asker asker = open ? Asker() : asker_of(request, looks);
  if (!open && asker.role == Role::kNobody) return unknown_asker();
  if (!found) return http::problem(404, "there is no " + path + "; see /api/v1/openapi.json");
  if (found->route == nullptr) return other_methods(request.method, found->methods, path);
  if (asker.role < found->route->needs) {
    return http::problem(
        403, std::string("this is for the role ") + name_of(found->route->needs) + ", not for " + name_of(asker.role));
  }
  Arguments query = query_of(std::string_view(request.target).substr(std::min(mark + 1, request.target.size())));
  if (auto refusal = unknown_argument(*found->route, query)) return std::move(*refusal);
  auto answer =
      found->route->answer({context_, request, std::move(found->path), std::move(query), asker.role, asker.user});
  answer.known = !open && request.headers.count("authorization") != 0;  // a token that is not good gets no answer
  if (answer.more) end_with_rights(answer, request, found->route->needs);
  return answer;
}

// A stream, of events all, ends when whoever reads it may not read it any more: his token has run out, or he is off the
// list.
void RestApi::end_with_rights(http::Response& answer, const http::Request& request, Role needs) const {
  http::Request asked = request;
  asked.body.clear();
  answer.more = [this, needs, asked = std::move(asked), more = std::move(answer.more),
                 ended = false]() mutable -> std::optional<std::string> {
    if (ended) return std::nullopt;
    if (asker_of(asked, true).role >= needs) return more();
    ended = true;
    return "event: end\ndata: {\"reason\":\"the token is not good any more\"}\n\n";
  };
}

// Who shows something that is no token of ours is nobody, wherever he comes from.
RestApi::Asker RestApi::asker_of(const http::Request& request, bool looks) const {
  if (http::has_bearer(request, settings_.token.reveal())) return {Role::kOperator, ""};
  const Secret& viewers = settings_.stats_token;
  if (!viewers.empty() && http::has_bearer(request, viewers.reveal())) return {Role::kViewer, ""};
  const auto claims = logins_.who_has(http::bearer_of(request));
  if (claims) return {claims->role, claims->user};
  if (looks && may_read_unnamed(request)) return {Role::kViewer, ""};
  return {};
}

// From this machine, and not on behalf of a page that a browser here has loaded from elsewhere: such a page can make
// its own name mean this machine (DNS rebinding), but not have the browser say another Host than that name.
bool RestApi::may_read_unnamed(const http::Request& request) const {
  if (!settings_.local_reads || request.headers.count("authorization") != 0) return false;
  if (request.peer.rfind("127.", 0) != 0 && request.peer != "::1") return false;
  return names_this_machine(host_of(header_of(request, "host"))) && is_own_origin(request);
}

}  // namespace pgb::control
