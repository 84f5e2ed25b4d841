#include "http/client.h"

#include <poll.h>

#include <exception>
#include <utility>

#include "http/channel.h"

namespace pgb::http {
namespace {

constexpr size_t kBodyLimit = 64u << 20;

std::optional<Error> malformed(const Request& request) {
  const bool good = !request.target.empty() && request.target.find_first_of(" \r\n\t") == std::string::npos;
  if (good) return std::nullopt;
  return Error(Code::kUsage, "'" + request.target + "' is no request target");
}

Result<Response> exchange(const Endpoint& endpoint, const Request& request, Deadline deadline, const Sink& sink,
                          const CallAids& aids) {
  if (aids.sent != nullptr) *aids.sent = false;
  if (auto error = malformed(request)) return std::move(*error);
  try {
    Channel channel(endpoint);
    if (auto error = channel.open(request, deadline, aids)) return std::move(*error);
    return channel.talk(request, deadline, sink, aids, false);
  } catch (const std::exception& failure) {
    return Error(Code::kIo, endpoint.str() + ": " + failure.what());
  }
}

Error too_long(const Endpoint& endpoint) {
  return Error(Code::kIo, endpoint.str() + ": the answer is longer than 64 MiB");
}

// What `ask` gives to its sink is the answer's body.
template <class Ask>
Result<Response> collected(const Endpoint& endpoint, Ask ask) {
  std::string body;
  bool whole = true;
  const auto collect = [&](int, std::string_view piece) {
    whole = body.size() + piece.size() <= kBodyLimit;
    if (whole) body += piece;
    return whole;
  };
  auto response = ask(collect);
  if (!whole) return too_long(endpoint);
  if (response.ok()) response->body = std::move(body);
  return response;
}

}  // namespace

Result<Response> call(const Endpoint& endpoint, const Request& request, Deadline deadline, const CallAids& aids) {
  return collected(endpoint, [&](const Sink& sink) { return exchange(endpoint, request, deadline, sink, aids); });
}

Result<Response> stream(const Endpoint& endpoint, const Request& request, Deadline deadline,
                        const std::function<bool(std::string_view)>& on_data, const CallAids& aids) {
  std::string error_body;
  bool whole = true;
  const auto pass_on = [&](int status, std::string_view piece) {
    if (status / 100 == 2) return on_data(piece);
    whole = error_body.size() + piece.size() <= kBodyLimit;
    if (whole) error_body += piece;
    return whole;
  };
  auto response = exchange(endpoint, request, deadline, pass_on, aids);
  if (!whole) return too_long(endpoint);
  if (response.ok()) response->body = std::move(error_body);
  return response;
}

KeptConnection::KeptConnection(Endpoint endpoint)
    : endpoint_(std::move(endpoint)), channel_(std::make_unique<Channel>(endpoint_)) {}
KeptConnection::~KeptConnection() = default;

Result<Response> KeptConnection::call(const Request& request, Deadline deadline, const CallAids& aids) {
  if (aids.sent != nullptr) *aids.sent = false;
  if (auto error = malformed(request)) return std::move(*error);
  return collected(endpoint_, [&](const Sink& sink) { return exchange(request, deadline, sink, aids); });
}

Result<Response> KeptConnection::exchange(const Request& request, Deadline deadline,
                                          const std::function<bool(int, std::string_view)>& sink,
                                          const CallAids& aids) {
  try {
    if (has_ended()) channel_->close();
    reused_ = channel_->fd() >= 0;
    if (!reused_) {
      if (auto error = channel_->open(request, deadline, aids)) return std::move(*error);
    }
    return channel_->talk(request, deadline, sink, aids, true);
  } catch (const std::exception& failure) {
    channel_ = std::make_unique<Channel>(endpoint_);
    return Error(Code::kIo, endpoint_.str() + ": " + failure.what());
  }
}

bool KeptConnection::has_ended() const {
  pollfd state{fd(), POLLIN | POLLRDHUP, 0};
  return state.fd >= 0 && ::poll(&state, 1, 0) != 0;
}

int KeptConnection::fd() const { return channel_->fd(); }
void KeptConnection::close() { channel_->close(); }

}  // namespace pgb::http
