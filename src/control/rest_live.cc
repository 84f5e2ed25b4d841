// The state as the page shows it, as routes: one document, and a stream of server-sent events.
#include "control/live_state.h"
#include "control/rest_route.h"
#include "http/server.h"

namespace pgb::control {
namespace {

constexpr std::chrono::milliseconds kWait{200};  // between two pieces of a stream the connection is looked at

http::Response snapshot(const RestCall& call) {
  http::Response response;
  response.headers["content-type"] = "application/json";
  response.headers["cache-control"] = "no-store";
  response.body = call.rest.live.snapshot({name_of(call.role), call.user});
  return response;
}

// What a reader that was cut off had last, as browsers say it.
std::optional<EventPosition> last_event_of(const http::Request& request) {
  const auto found = request.headers.find("last-event-id");
  if (found == request.headers.end()) return std::nullopt;
  return EventPosition::parse(found->second);
}

http::Response events(const RestCall& call) {
  const auto stream = call.rest.live.open(last_event_of(call.request));
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

}  // namespace

std::vector<RestRoute> live_routes() {
  return {
      {"GET", "/api/v1/snapshot", Role::kViewer, "all that the page shows, the last 15 minutes included", "Snapshot",
       snapshot},
      {"GET", "/api/v1/events", Role::kViewer, "the same about once a second, and what happens, as server-sent events",
       "text/event-stream", events},
  };
}

}  // namespace pgb::control
