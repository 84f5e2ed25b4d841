// Logging in, and what the interface says of itself.
#include <cmath>

#include "control/logins.h"
#include "control/openapi.h"
#include "control/rest_json.h"
#include "control/rest_route.h"
#include "http/server.h"

namespace pgb::control {
namespace {

using Json = nlohmann::json;

http::Response log_in(const RestCall& call) {
  const Json body = Json::parse(call.request.body, nullptr, false);
  const auto user = text_in(body, "username");
  const auto password = text_in(body, "password");
  if (!user || !password || body.size() != 2) {
    return http::problem(400, R"(send {"username": "…", "password": "…"} as JSON, and nothing else)");
  }
  Logins& logins = call.rest.logins;
  const auto wait = logins.must_wait(call.request.peer);
  if (wait.count() > 0) {
    auto answer = http::problem(429, "too many logins failed; try again later");
    answer.headers["retry-after"] = std::to_string(static_cast<int64_t>(std::ceil(wait.count())));
    return answer;
  }
  const auto session = logins.log_in(call.request.peer, *user, Secret(*password));
  if (session) {
    return json_response(
        {{"token", session->token}, {"expires_in", Logins::kLifetime.count()}, {"role", name_of(session->role)}});
  }
  if (session.error().code == Code::kAuth) return http::problem(401, session.error().message);
  return http::problem(503, session.error().message);
}

http::Response describe(const RestCall&) { return json_response(openapi_document()); }

}  // namespace

std::vector<RestRoute> login_routes() {
  return {
      {"POST",
       "/api/v1/auth/login",
       Role::kNobody,
       "a token for a user name and password",
       "Login",
       log_in,
       {},
       "Credentials"},
      {"GET", "/api/v1/openapi.json", Role::kNobody, "this description", "application/json", describe},
  };
}

}  // namespace pgb::control
