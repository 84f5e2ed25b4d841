#include "http/connection.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include "base/deadline.h"
#include "base/log.h"

namespace pgb::http {
namespace {

constexpr size_t kFirstRead = 4096;                    // of a request that follows another
constexpr size_t kMostBuffered = (16u << 10) + 65536;  // a header, and one read

namespace asio = boost::asio;
namespace beast = boost::beast;
using ErrorCode = boost::system::error_code;
using Protocol = asio::generic::stream_protocol;
using Stream = beast::basic_stream<Protocol, asio::io_context::executor_type>;
using Parser = beast::http::request_parser<beast::http::string_body>;

Request to_request(const Parser& parser) {
  const auto& message = parser.get();
  Request request;
  request.method.assign(message.method_string().data(), message.method_string().size());
  request.target.assign(message.target().data(), message.target().size());
  for (const auto& field : message) {
    std::string name(field.name_string().data(), field.name_string().size());
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    std::string& value = request.headers[name];
    if (!value.empty()) value += ", ";
    value.append(field.value().data(), field.value().size());
  }
  request.body = message.body();
  return request;
}

// The IP address of the peer; empty if there is none.
std::string peer_of(int fd) {
  sockaddr_storage name = {};
  socklen_t size = sizeof name;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return {};
  char host[INET6_ADDRSTRLEN] = "";
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&name);
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&name);
  if (name.ss_family == AF_INET) ::inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
  if (name.ss_family == AF_INET6) ::inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
  return host;
}

// Where its body ends can be understood in more than one way, by us and by somebody in between: what follows might be
// taken for another request (RFC 9112, 6.3).
bool is_ambiguous(const Parser& parser) {
  const auto& message = parser.get();
  const auto lengths = message.count(beast::http::field::content_length);
  const auto encodings = message.count(beast::http::field::transfer_encoding);
  if (encodings == 0) return lengths > 1;
  const auto encoding = message.find(beast::http::field::transfer_encoding)->value();
  return encodings > 1 || lengths > 0 || message.version() < 11 || !beast::iequals(encoding, "chunked");
}

bool is_clean(const Response& response) {
  for (const auto& [name, value] : response.headers) {
    if (name.empty() || name.find_first_of("\r\n: ") != std::string::npos) return false;
    if (value.find_first_of("\r\n") != std::string::npos) return false;
  }
  return response.status >= 200 && response.status <= 599;
}

Response handled(const Server::Handler& handler, const Request& request) {
  try {
    Response response = handler(request);
    if (is_clean(response)) return response;
    log::error("the answer to " + request.method + " " + request.target + " has a malformed header or status");
  } catch (const std::exception& failure) {
    log::error("the handler of " + request.method + " " + request.target + " failed: " + failure.what());
  } catch (...) {
    log::error("the handler of " + request.method + " " + request.target + " failed");
  }
  return problem(500, "an unforeseen failure; the log has more");
}

class Connection {
 public:
  Connection(int fd, const Server::Handler& handler, ServeState state, const ServeLimits& limits)
      : fd_(fd), peer_(peer_of(fd)), handler_(handler), state_(state), limits_(limits), stream_(io_) {
    sockaddr_storage name = {};
    socklen_t size = sizeof name;
    int family = ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0 ? name.ss_family : AF_INET;
    stream_.socket().assign(Protocol(family, 0), fd);
  }

  void serve(const TlsContext& tls) {
    bool go_on = !tls || begin_tls(tls);
    while (go_on && !state_.stopping) go_on = serve_one();
  }

 private:
  template <class Start>
  ErrorCode wait(Start start) {
    ErrorCode result = asio::error::operation_aborted;
    start([&result](ErrorCode ec, auto&&...) { result = ec; });
    io_.restart();
    io_.run();
    return result;
  }

  // The same with the stream that is to be read and written.
  template <class Start>
  ErrorCode transfer(Start start) {
    return tls_ ? wait([&](auto done) { start(*tls_, done); }) : wait([&](auto done) { start(stream_, done); });
  }

  bool begin_tls(const TlsContext& tls) {
    ::SSL_CTX_up_ref(tls.get());  // it is given back by the context that holds it
    tls_context_.emplace(tls.get());
    tls_.emplace(stream_, *tls_context_);
    stream_.expires_after(std::chrono::seconds(limits_.seconds));
    return !wait([&](auto done) { tls_->async_handshake(asio::ssl::stream_base::server, done); });
  }

  // False: the server has sent the connection away.
  bool note_waiting() {
    return state_.waiting.note(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
  }

  // Until there is something of the next request.
  bool begin_next() {
    if (buffer_.size() > 0) return true;
    state_.waiting.note_between(true);
    stream_.expires_after(std::chrono::seconds(limits_.seconds));
    size_t got = 0;
    const ErrorCode ec = transfer([&](auto& stream, auto done) {
      stream.async_read_some(buffer_.prepare(kFirstRead), [&got, done](ErrorCode read_ec, size_t n) mutable {
        got = n;
        done(read_ec);
      });
    });
    buffer_.commit(got);
    state_.waiting.note_between(false);
    return !ec && note_waiting();  // now it is in the middle of something
  }

  bool serve_one() {
    if (!note_waiting()) return false;
    if (std::exchange(answered_, true) && !begin_next()) return false;
    Parser parser;
    parser.header_limit(limits_.header_bytes);
    parser.body_limit(limits_.body_bytes);
    stream_.expires_after(std::chrono::seconds(limits_.seconds));
    ErrorCode ec =
        transfer([&](auto& stream, auto done) { beast::http::async_read_header(stream, buffer_, parser, done); });
    if (ec) return refuse(ec);
    if (is_ambiguous(parser)) return refuse(beast::http::error::bad_transfer_encoding);
    auto expect = parser.get().find(beast::http::field::expect);
    if (expect != parser.get().end() && beast::iequals(expect->value(), "100-continue") && !parser.is_done()) {
      auto length = parser.content_length_remaining();
      if (length && *length > limits_.body_bytes) return refuse(beast::http::error::body_limit);
      beast::http::response<beast::http::empty_body> go_on(beast::http::status::continue_, 11);
      if (transfer([&](auto& stream, auto done) { beast::http::async_write(stream, go_on, done); })) return false;
    }
    ec = transfer([&](auto& stream, auto done) { beast::http::async_read(stream, buffer_, parser, done); });
    if (ec) return refuse(ec);
    if (!state_.waiting.note(Waiting::kWorks)) return false;
    bool keep_alive = parser.get().keep_alive();
    bool head = parser.get().method() == beast::http::verb::head;
    Request request = to_request(parser);
    request.peer = peer_;
    Response response = handled(handler_, request);
    if (response.known) state_.waiting.note_known();
    if (response.more && !head) return send_pieces(response, parser.get().version());
    return send(response, parser.get().version(), head, keep_alive && !state_.stopping);
  }

  // Tells the peer what was wrong with its request, if it made one; the connection ends.
  bool refuse(const ErrorCode& ec) {
    namespace http = beast::http;
    if (ec == http::error::header_limit || ec == http::error::buffer_overflow) {
      send(problem(431, "the request's header is longer than 16 KiB"), 11, false, false);
    } else if (ec == http::error::body_limit) {
      send(problem(413, "the request's body is longer than 1 MiB"), 11, false, false);
    } else if (ec == beast::error::timeout || ec == http::error::end_of_stream || ec == http::error::partial_message) {
      return false;
    } else if (ec.category() == http::make_error_code(http::error::bad_method).category()) {
      send(problem(400, "this is no HTTP/1.1 request: " + ec.message()), 11, false, false);
    } else {
      return false;
    }
    drain();
    return false;
  }

  bool send(const Response& response, unsigned version, bool head, bool keep_alive) {
    beast::http::response<beast::http::span_body<const char>> message;
    fill(message, response, version, keep_alive);
    bool bodiless = response.status == 204 || response.status == 304;
    if (!bodiless) message.content_length(response.body.size());
    if (!head && !bodiless) message.body() = {response.body.data(), response.body.size()};
    stream_.expires_after(std::chrono::seconds(limits_.seconds));
    ErrorCode ec = transfer([&](auto& stream, auto done) { beast::http::async_write(stream, message, done); });
    return !ec && keep_alive;
  }

  // The connection ends with the answer: HTTP/1.0 peers know its end by that.
  bool send_pieces(const Response& response, unsigned version) {
    beast::http::response<beast::http::empty_body> message;
    fill(message, response, version, false);
    const bool chunked = version >= 11;
    message.chunked(chunked);
    beast::http::response_serializer<beast::http::empty_body> header(message);
    stream_.expires_after(std::chrono::seconds(limits_.seconds));
    if (transfer([&](auto& stream, auto done) { beast::http::async_write_header(stream, header, done); })) return false;
    for (std::optional<std::string> piece = response.body; piece; piece = next_piece(response)) {
      if (!piece->empty() && !send_piece(*piece, chunked)) return false;
      if (state_.stopping || peer_is_gone()) return false;
    }
    stream_.expires_after(std::chrono::seconds(limits_.seconds));
    if (chunked)
      transfer([&](auto& stream, auto done) { asio::async_write(stream, beast::http::make_chunk_last(), done); });
    return false;
  }

  static std::optional<std::string> next_piece(const Response& response) {
    try {
      return response.more();
    } catch (const std::exception& failure) {
      log::error(std::string("a streamed answer failed: ") + failure.what());
      return std::nullopt;
    }
  }

  bool send_piece(const std::string& piece, bool chunked) {
    stream_.expires_after(std::chrono::seconds(limits_.seconds));
    const asio::const_buffer bytes(piece.data(), piece.size());
    if (!chunked) return !transfer([&](auto& stream, auto done) { asio::async_write(stream, bytes, done); });
    return !transfer([&](auto& stream, auto done) { asio::async_write(stream, beast::http::make_chunk(bytes), done); });
  }

  bool peer_is_gone() const {
    pollfd state = {fd_, POLLRDHUP, 0};
    return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }

  template <class Message>
  static void fill(Message& message, const Response& response, unsigned version, bool keep_alive) {
    message.version(version);
    message.result(static_cast<unsigned>(response.status));
    for (const auto& [name, value] : response.headers) message.set(name, value);
    message.keep_alive(keep_alive);
  }

  // Reads away what the peer still sends, for a moment: closing with unread bytes would reset the
  // connection, and the peer would lose our answer.
  void drain() {
    ::shutdown(fd_, SHUT_WR);
    Deadline limit = Deadline::after(std::chrono::seconds(1));
    char bytes[16384];
    while (!limit.expired() && !state_.stopping) {
      pollfd wanted = {fd_, POLLIN, 0};
      if (::poll(&wanted, 1, limit.poll_ms()) <= 0) return;
      if (::recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT) <= 0) return;
    }
  }

  int fd_;
  bool answered_ = false;
  const std::string peer_;
  const Server::Handler& handler_;
  ServeState state_;
  const ServeLimits& limits_;
  asio::io_context io_{1};
  Stream stream_;
  std::optional<asio::ssl::context> tls_context_;
  std::optional<asio::ssl::stream<Stream&>> tls_;
  // Keeps what came after a request: the next one. Its limit is the only one that chunk extensions and trailers meet.
  beast::flat_buffer buffer_{kMostBuffered};
};

}  // namespace

void serve_connection(int fd, const Server::Handler& handler, ServeState state, const ServeLimits& limits,
                      const TlsContext& tls) {
  bool taken = false;
  try {
    Connection connection(fd, handler, state, limits);
    taken = true;
    connection.serve(tls);
  } catch (const std::exception& failure) {
    if (!taken) ::close(fd);
    log::error(std::string("an HTTP connection failed: ") + failure.what());
  }
}

}  // namespace pgb::http
