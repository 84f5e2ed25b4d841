#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/secret.h"
#include "base/strings.h"
#include "http/server.h"

namespace pgb::http {
namespace {

Code code_of(int status) {
  switch (status) {
    case 400:
    case 405:
    case 413:
    case 431: return Code::kUsage;
    case 401:
    case 403: return Code::kAuth;
    case 404: return Code::kNotFound;
    case 408:
    case 504: return Code::kTimeout;
    case 409:
    case 429: return Code::kBusy;
    case 422: return Code::kConfig;
    case 503: return Code::kNotReady;
    default: return Code::kInternal;
  }
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

Response problem(int status, std::string_view message) {
  const ErrorInfo& kind = error_info(code_of(status));
  nlohmann::ordered_json body = {{"type", std::string(kind.id)},
                                 {"title", std::string(kind.help)},
                                 {"status", status},
                                 {"detail", std::string(message)}};
  Response response;
  response.status = status;
  response.headers["content-type"] = "application/problem+json";
  // The message may hold bytes from outside that are no UTF-8.
  response.body = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  return response;
}

}  // namespace pgb::http
