// Any request to the REST interface, as far as HTTP lets it through: it is answered, what cannot be done is told as a
// problem, and nothing is done or shown for who has no right to it. Also any text as a token. The first byte says who
// asks, and how.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/strings.h"
#include "control/fake_proxy.h"
#include "control/rest_api.h"
#include "http/server.h"

using namespace pgb;

namespace {

void require(bool holds) {
  if (!holds) abort();
}

// The first line is the target, the second the token, the third a header, the rest the body.
http::Request request_of(std::string_view bytes, uint8_t how) {
  constexpr const char* kMethods[] = {"GET", "POST", "HEAD", "OPTIONS"};
  http::Request request;
  std::string* parts[] = {&request.target, &request.headers["authorization"], &request.headers["host"]};
  for (std::string* part : parts) {
    const size_t end = std::min(bytes.find('\n'), bytes.size());
    *part = bytes.substr(0, end);
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  request.body = bytes;
  request.method = kMethods[how & 3];
  request.peer = (how & 4) != 0 ? "127.0.0.1" : "10.0.0.9";
  if ((how & 8) != 0) request.headers["authorization"] = "Bearer secret";
  if ((how & 16) != 0) request.headers.erase("authorization");
  return request;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static bool quiet = (log::setup("rest_fuzz", log::Level::kError), true);
  (void)quiet;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  require(!control::TokenMint().read(bytes, std::chrono::system_clock::now()));

  control::FakeProxy proxy;
  bool done = false;
  control::RestSettings settings;
  settings.token = Secret("secret");
  settings.local_reads = true;
  const auto config = std::make_shared<const control::BalancerConfig>();
  control::RestApi api(settings,
                       control::Actions{proxy, [&] { return done = true, Status(); }, [&](bool) { done = true; }},
                       {[&] { return config; }, [&](const std::string& user) { return proxy.secret_of(user, {}); }});
  const http::Request request = request_of(bytes, data[0]);
  if (request.target.find("probe=") != std::string::npos) return 0;  // it would connect to a server
  const http::Response response = api.handle(request);
  const bool is_operator = http::has_bearer(request, "secret");
  require(is_operator || (!done && proxy.said.empty()));
  require(response.status >= 200 && response.status < 600);
  for (const auto& [name, value] : response.headers) require(value.find_first_of("\r\n") == std::string::npos);
  if (response.status < 400 || response.status == 503) return 0;
  const auto problem = nlohmann::json::parse(response.body, nullptr, false);
  require(problem.is_object() && problem["status"] == response.status);
  return 0;
}
