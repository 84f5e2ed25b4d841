#include "http/client.h"

#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <exception>
#include <optional>
#include <utility>

namespace pgb::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using ErrorCode = boost::system::error_code;
using Executor = asio::io_context::executor_type;
using Tcp = asio::ip::tcp;
using Unix = asio::local::stream_protocol;
using TcpStream = beast::basic_stream<Tcp, Executor>;
using UnixStream = beast::basic_stream<Unix, Executor>;
using TlsStream = beast::ssl_stream<TcpStream>;

constexpr size_t kBodyLimit = 64u << 20;
constexpr uint32_t kHeaderLimit = 64u << 10;
constexpr size_t kPiece = 64u << 10;

// Gets each piece of a body, told with the status; false ends the exchange.
using Sink = std::function<bool(int status, std::string_view piece)>;

// One request on its own io_context: starts an operation, runs it to its end, tells its error code.
// The stream's timer holds every operation against the deadline.
class Exchange {
 public:
  Exchange(const Endpoint& endpoint, const Request& request, Deadline deadline, const Sink& sink, const CallAids& aids)
      : endpoint_(endpoint), request_(request), deadline_(deadline), sink_(sink), aids_(aids) {
    if (aids_.sent != nullptr) *aids_.sent = false;
  }

  Result<Response> run() {
    if (request_.target.empty() || request_.target.find_first_of(" \r\n\t") != std::string::npos) {
      return Error(Code::kUsage, "'" + request_.target + "' is no request target");
    }
    if (deadline_.expired()) return timed_out("connect");
    if (endpoint_.kind == Endpoint::Kind::kUnix) return over_unix();
    return endpoint_.kind == Endpoint::Kind::kTls ? over_tls() : over_tcp();
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

  Error timed_out(const std::string& doing) const {
    return Error(Code::kTimeout, endpoint_.str() + " did not answer in time (" + doing + " " + request_.method + " " +
                                     request_.target + ")");
  }

  bool cancelled() const { return aids_.canceller != nullptr && aids_.canceller->cancelled(); }

  Error interrupted() const {
    return Error(Code::kInterrupted,
                 endpoint_.str() + ": " + request_.method + " " + request_.target + " was cancelled");
  }

  Error failed(const std::string& doing, const ErrorCode& ec) const {
    if (cancelled()) return interrupted();
    if (ec == beast::error::timeout) return timed_out(doing);
    return Error(Code::kIo, endpoint_.str() + ": " + doing + ": " + ec.message());
  }

  Error not_connected(const ErrorCode& ec) const {
    if (cancelled()) return interrupted();
    if (ec == beast::error::timeout) return timed_out("connect");
    bool denied = ec == boost::system::errc::permission_denied || ec == boost::system::errc::operation_not_permitted;
    if (denied && endpoint_.kind == Endpoint::Kind::kUnix) {
      return Error(Code::kEngineDenied, endpoint_.str() + ": " + ec.message());
    }
    return Error(Code::kUnreachable, endpoint_.str() + ": " + ec.message());
  }

  Result<Response> over_unix() {
    if (endpoint_.path.size() >= 108) return Error(Code::kUnreachable, endpoint_.str() + ": the path is too long");
    UnixStream stream(io_);
    stream.expires_after(deadline_.remaining());
    Unix::endpoint address(endpoint_.path);
    ErrorCode ec = wait([&](auto done) { stream.async_connect(address, done); });
    if (ec) return not_connected(ec);
    return talk(stream, stream, "localhost");
  }

  std::vector<Tcp::endpoint> addresses() const {
    std::vector<std::string> hosts = {endpoint_.host};
    if (endpoint_.host == "localhost") hosts = {"127.0.0.1", "::1"};
    std::vector<Tcp::endpoint> found;
    for (const std::string& host : hosts) {
      ErrorCode ec;
      auto address = asio::ip::make_address(host, ec);
      if (!ec) found.emplace_back(address, endpoint_.port);
    }
    return found;
  }

  std::optional<Error> connect(TcpStream& stream) {
    ErrorCode ec = asio::error::host_not_found;
    for (const Tcp::endpoint& address : addresses()) {
      stream.expires_after(deadline_.remaining());
      ec = wait([&](auto done) { stream.async_connect(address, done); });
      if (!ec || ec == beast::error::timeout) break;
      stream.close();
    }
    if (ec) return not_connected(ec);
    ErrorCode ignored;
    stream.socket().set_option(Tcp::no_delay(true), ignored);
    return std::nullopt;
  }

  std::string host_header() const {
    bool v6 = endpoint_.host.find(':') != std::string::npos;
    return (v6 ? "[" + endpoint_.host + "]" : endpoint_.host) + ":" + std::to_string(endpoint_.port);
  }

  Result<Response> over_tcp() {
    TcpStream stream(io_);
    if (auto error = connect(stream)) return std::move(*error);
    return talk(stream, stream, host_header());
  }

  Result<Response> over_tls() {
    asio::ssl::context tls(asio::ssl::context::tls_client);
    if (auto error = configure(tls)) return std::move(*error);
    TlsStream stream(TcpStream(io_), tls);
    stream.set_verify_callback(asio::ssl::host_name_verification(endpoint_.host));
    TcpStream& lowest = stream.next_layer();
    if (auto error = connect(lowest)) return std::move(*error);
    lowest.expires_after(deadline_.remaining());
    ErrorCode ec = wait([&](auto done) { stream.async_handshake(asio::ssl::stream_base::client, done); });
    if (ec == beast::error::timeout) return timed_out("TLS handshake");
    if (ec && cancelled()) return interrupted();
    if (ec) return Error(Code::kUnreachable, endpoint_.str() + ": TLS handshake: " + ec.message());
    return talk(stream, lowest, host_header());
  }

  std::optional<Error> configure(asio::ssl::context& tls) const {
    tls.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                    asio::ssl::context::no_tlsv1_1);
    tls.set_verify_mode(asio::ssl::verify_peer);
    auto check = [](const std::string& file, const ErrorCode& ec) -> std::optional<Error> {
      if (!ec) return std::nullopt;
      return Error(Code::kIo, "TLS file " + file + ": " + ec.message());
    };
    ErrorCode ec;
    if (endpoint_.ca_file.empty()) {
      tls.set_default_verify_paths(ec);
    } else {
      tls.load_verify_file(endpoint_.ca_file, ec);
    }
    if (auto error = check(endpoint_.ca_file, ec)) return error;
    if (!endpoint_.cert_file.empty()) tls.use_certificate_chain_file(endpoint_.cert_file, ec);
    if (auto error = check(endpoint_.cert_file, ec)) return error;
    if (!endpoint_.key_file.empty()) tls.use_private_key_file(endpoint_.key_file, asio::ssl::context::pem, ec);
    return check(endpoint_.key_file, ec);
  }

  template <class Stream, class Lowest>
  Result<Response> talk(Stream& stream, Lowest& lowest, const std::string& host) {
    beast::http::request<beast::http::span_body<const char>> message;
    // The io_context is this thread's alone: whoever cancels may only end the connection under it.
    const int fd = lowest.socket().native_handle();
    const Canceller::Hook hook(aids_.canceller, [fd] { ::shutdown(fd, SHUT_RDWR); });
    if (cancelled()) return interrupted();
    if (aids_.sent != nullptr) *aids_.sent = true;
    message.version(11);
    message.method_string(request_.method);
    message.target(request_.target);
    message.set(beast::http::field::host, host);
    for (const auto& [name, value] : request_.headers) message.set(name, value);
    message.set(beast::http::field::connection, "close");
    message.body() = {request_.body.data(), request_.body.size()};
    if (!request_.body.empty() || request_.method == "POST" || request_.method == "PUT") {
      message.content_length(request_.body.size());
    }
    lowest.expires_after(deadline_.remaining());
    ErrorCode write_error = wait([&](auto done) { beast::http::async_write(stream, message, done); });
    if (write_error == beast::error::timeout) return timed_out("write");
    // A server may refuse the request before it has read all of it; its answer says why.
    auto answer = receive(stream, lowest);
    if (!answer.ok() && answer.error().code == Code::kIo && write_error) return failed("write", write_error);
    return answer;
  }

  template <class Stream, class Lowest>
  Result<Response> receive(Stream& stream, Lowest& lowest) {
    beast::flat_buffer buffer;
    beast::http::response_parser<beast::http::buffer_body> parser;
    parser.header_limit(kHeaderLimit);
    parser.body_limit(boost::none);
    if (request_.method == "HEAD") parser.skip(true);
    lowest.expires_after(deadline_.remaining());
    ErrorCode ec = wait([&](auto done) { beast::http::async_read_header(stream, buffer, parser, done); });
    if (ec) return failed("read the answer", ec);
    Response response;
    response.status = static_cast<int>(parser.get().result_int());
    for (const auto& field : parser.get()) add_header(response, field.name_string(), field.value());
    std::string piece(kPiece, '\0');
    while (!parser.is_done()) {
      parser.get().body().data = piece.data();
      parser.get().body().size = piece.size();
      lowest.expires_after(deadline_.remaining());
      ec = wait([&](auto done) { beast::http::async_read_some(stream, buffer, parser, done); });
      if (ec == beast::http::error::need_buffer) ec = {};
      if (ec && !(ec == asio::ssl::error::stream_truncated && parser.is_done())) return failed("read the answer", ec);
      size_t size = piece.size() - parser.get().body().size;
      if (size > 0 && !sink_(response.status, std::string_view(piece.data(), size))) break;
    }
    return response;
  }

  static void add_header(Response& response, beast::string_view name, beast::string_view value) {
    std::string key(name.data(), name.size());
    for (char& c : key) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    std::string& text = response.headers[key];
    if (!text.empty()) text += ", ";
    text.append(value.data(), value.size());
  }

  const Endpoint& endpoint_;
  const Request& request_;
  Deadline deadline_;
  const Sink& sink_;
  const CallAids& aids_;
  asio::io_context io_{1};
};

Result<Response> exchange(const Endpoint& endpoint, const Request& request, Deadline deadline, const Sink& sink,
                          const CallAids& aids) {
  try {
    return Exchange(endpoint, request, deadline, sink, aids).run();
  } catch (const std::exception& failure) {
    return Error(Code::kIo, endpoint.str() + ": " + failure.what());
  }
}

Error too_long(const Endpoint& endpoint) {
  return Error(Code::kIo, endpoint.str() + ": the answer is longer than 64 MiB");
}

}  // namespace

Result<Response> call(const Endpoint& endpoint, const Request& request, Deadline deadline, const CallAids& aids) {
  std::string body;
  bool whole = true;
  const auto collect = [&](int, std::string_view piece) {
    whole = body.size() + piece.size() <= kBodyLimit;
    if (whole) body += piece;
    return whole;
  };
  auto response = exchange(endpoint, request, deadline, collect, aids);
  if (!whole) return too_long(endpoint);
  if (response.ok()) response->body = std::move(body);
  return response;
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

}  // namespace pgb::http
