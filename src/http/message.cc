#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/secret.h"
#include "base/strings.h"
#include "http/server.h"

namespace pgb::http {
namespace {

struct Kind {
  std::string_view id, title;
};

Kind kind_of(Code code) { return {error_info(code).id, error_info(code).help}; }

// What answers of a status have in common. Of those that the table of errors does not have, for only requests can be
// wrong in that way, the ids stand here.
Kind kind_of(int status) {
  switch (status) {
    case 400: return {"PGB-REQUEST", "the request has mistakes"};
    case 401: return kind_of(Code::kAuth);
    case 403: return {"PGB-FORBIDDEN", "whoever asks may not do this"};
    case 404: return kind_of(Code::kNotFound);
    case 405: return {"PGB-METHOD", "this path takes other methods"};
    case 408:
    case 504: return {error_info(Code::kTimeout).id, "the time limit passed"};
    case 409: return {"PGB-CONFLICT", "it cannot be done as things are"};
    case 413:
    case 431: return {"PGB-TOO-LARGE", "the request is larger than is taken"};
    case 422: return {error_info(Code::kConfig).id, "the configuration has mistakes"};
    case 429: return {"PGB-TOO-MANY", "it was tried too often: later again"};
    case 503: return {"PGB-UNAVAILABLE", "it cannot be answered just now: later again"};
    default: return kind_of(Code::kInternal);
  }
}

Response problem_of(int status, const Kind& kind, std::string_view message) {
  nlohmann::ordered_json body = {{"type", std::string(kind.id)},
                                 {"title", std::string(kind.title)},
                                 {"status", status},
                                 {"detail", std::string(message)}};
  Response response;
  response.status = status;
  response.headers["content-type"] = "application/problem+json";
  // The message may hold bytes from outside that are no UTF-8.
  response.body = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  return response;
}

bool is_bearer(std::string_view scheme) {
  constexpr std::string_view kBearer = "bearer";
  if (scheme.size() != kBearer.size()) return false;
  for (size_t i = 0; i < scheme.size(); ++i) {
    if ((scheme[i] | 0x20) != kBearer[i]) return false;
  }
  return true;
}

}  // namespace

std::string_view bearer_of(const Request& request) {
  auto header = request.headers.find("authorization");
  if (header == request.headers.end()) return {};
  std::string_view text = trim(header->second);
  size_t blank = text.find(' ');
  if (blank == std::string_view::npos || !is_bearer(text.substr(0, blank))) return {};
  return trim(text.substr(blank + 1));
}

bool has_bearer(const Request& request, const std::string& token) {
  return !token.empty() && Secret(token).equals(bearer_of(request));
}

Response problem(int status, std::string_view message) { return problem_of(status, kind_of(status), message); }

Response problem(int status, Code code, std::string_view message) { return problem_of(status, kind_of(code), message); }

}  // namespace pgb::http
