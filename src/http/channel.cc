#include "http/channel.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <utility>

#include "http/pinned.h"

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

constexpr uint32_t kHeaderLimit = 64u << 10;
constexpr size_t kPiece = 64u << 10;
constexpr size_t kAtOnce = 16u << 10;  // of an answer, by one read if it is there: else it would be 512 bytes

}  // namespace

// On its own io_context: starts an operation, runs it to its end, tells its error code.
// The stream's timer holds every operation against the deadline.
class Channel::Impl {
 public:
  explicit Impl(const Endpoint& endpoint) : endpoint_(endpoint) {}

  std::optional<Error> open(const Request& request, Deadline deadline, const CallAids& aids) {
    const Task task{&request, deadline, &aids};
    close();
    if (deadline.expired()) return timed_out(task, "connect");
    if (endpoint_.kind == Endpoint::Kind::kUnix) return open_unix(task);
    return endpoint_.kind == Endpoint::Kind::kTls ? open_tls(task) : open_tcp(task);
  }

  Result<Response> talk(const Request& request, Deadline deadline, const Sink& sink, const CallAids& aids, bool keep) {
    const Task task{&request, deadline, &aids};
    keeps_ = false;
    auto answer = unix_  ? over(task, *unix_, *unix_, sink, keep)
                  : tls_ ? over(task, *tls_, tls_->next_layer(), sink, keep)
                         : over(task, *tcp_, *tcp_, sink, keep);
    if (!answer.ok() || !keeps_) close();
    return answer;
  }

  int fd() {
    if (!keeps_) return -1;
    return unix_ ? unix_->socket().native_handle() : (tls_ ? tls_->next_layer() : *tcp_).socket().native_handle();
  }

  void close() {
    keeps_ = false;
    unix_.reset();
    tls_.reset();
    tcp_.reset();
  }

 private:
  struct Task {
    const Request* request;
    Deadline deadline;
    const CallAids* aids;
    bool cancelled() const { return aids->canceller != nullptr && aids->canceller->cancelled(); }
    std::string name() const { return request->method + " " + request->target; }
  };

  template <class Start>
  ErrorCode wait(Start start) {
    ErrorCode result = asio::error::operation_aborted;
    start([&result](ErrorCode ec, auto&&...) { result = ec; });
    io_.restart();
    io_.run();
    return result;
  }

  Error timed_out(const Task& task, const std::string& doing) const {
    return Error(Code::kTimeout, endpoint_.str() + " did not answer in time (" + doing + " " + task.name() + ")");
  }

  Error interrupted(const Task& task) const {
    return Error(Code::kInterrupted, endpoint_.str() + ": " + task.name() + " was cancelled");
  }

  Error failed(const Task& task, const std::string& doing, const ErrorCode& ec) const {
    if (task.cancelled()) return interrupted(task);
    if (ec == beast::error::timeout) return timed_out(task, doing);
    return Error(Code::kIo, endpoint_.str() + ": " + doing + ": " + ec.message());
  }

  Error not_connected(const Task& task, const ErrorCode& ec) const {
    if (task.cancelled()) return interrupted(task);
    if (ec == beast::error::timeout) return timed_out(task, "connect");
    bool denied = ec == boost::system::errc::permission_denied || ec == boost::system::errc::operation_not_permitted;
    if (denied && endpoint_.kind == Endpoint::Kind::kUnix) {
      return Error(Code::kEngineDenied, endpoint_.str() + ": " + ec.message());
    }
    return Error(Code::kUnreachable, endpoint_.str() + ": " + ec.message());
  }

  std::optional<Error> open_unix(const Task& task) {
    if (endpoint_.path.size() >= 108) return Error(Code::kUnreachable, endpoint_.str() + ": the path is too long");
    unix_.emplace(io_);
    unix_->expires_after(task.deadline.remaining());
    Unix::endpoint address(endpoint_.path);
    ErrorCode ec = wait([&](auto done) { unix_->async_connect(address, done); });
    if (ec) return not_connected(task, ec);
    return std::nullopt;
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

  std::optional<Error> connect(const Task& task, TcpStream& stream) {
    ErrorCode ec = asio::error::host_not_found;
    for (const Tcp::endpoint& address : addresses()) {
      stream.expires_after(task.deadline.remaining());
      ec = wait([&](auto done) { stream.async_connect(address, done); });
      if (!ec || ec == beast::error::timeout) break;
      stream.close();
    }
    if (ec) return not_connected(task, ec);
    ErrorCode ignored;
    stream.socket().set_option(Tcp::no_delay(true), ignored);
    return std::nullopt;
  }

  std::string host_header() const {
    if (endpoint_.kind == Endpoint::Kind::kUnix) return "localhost";
    bool v6 = endpoint_.host.find(':') != std::string::npos;
    return (v6 ? "[" + endpoint_.host + "]" : endpoint_.host) + ":" + std::to_string(endpoint_.port);
  }

  std::optional<Error> open_tcp(const Task& task) {
    tcp_.emplace(io_);
    return connect(task, *tcp_);
  }

  std::optional<Error> open_tls(const Task& task) {
    tls_context_.emplace(asio::ssl::context::tls_client);
    if (auto error = configure(*tls_context_)) return error;
    tls_.emplace(TcpStream(io_), *tls_context_);
    tls_->set_verify_callback(asio::ssl::host_name_verification(endpoint_.host));
    TcpStream& lowest = tls_->next_layer();
    if (auto error = connect(task, lowest)) return error;
    lowest.expires_after(task.deadline.remaining());
    ErrorCode ec = wait([&](auto done) { tls_->async_handshake(asio::ssl::stream_base::client, done); });
    if (ec == beast::error::timeout) return timed_out(task, "TLS handshake");
    if (ec && task.cancelled()) return interrupted(task);
    if (ec) return Error(Code::kUnreachable, endpoint_.str() + ": TLS handshake: " + ec.message());
    return std::nullopt;
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
    const TlsTexts& texts = endpoint_.tls;
    const auto bytes = [](const std::string& text) { return asio::buffer(text.data(), text.size()); };
    if (!endpoint_.pinned.empty()) {
      if (auto error = trust_only(tls.native_handle(), endpoint_.pinned)) return error;
    } else if (!texts.ca.empty()) {
      tls.add_certificate_authority(bytes(texts.ca), ec);
      if (auto error = check("with the authorities", ec)) return error;
    } else if (endpoint_.ca_file.empty()) {
      tls.set_default_verify_paths(ec);
    } else {
      tls.load_verify_file(endpoint_.ca_file, ec);
    }
    if (auto error = check(endpoint_.ca_file, ec)) return error;
    if (!endpoint_.cert_file.empty()) tls.use_certificate_chain_file(endpoint_.cert_file, ec);
    if (auto error = check(endpoint_.cert_file, ec)) return error;
    if (!endpoint_.key_file.empty()) tls.use_private_key_file(endpoint_.key_file, asio::ssl::context::pem, ec);
    if (auto error = check(endpoint_.key_file, ec)) return error;
    if (!texts.cert.empty()) tls.use_certificate_chain(bytes(texts.cert), ec);
    if (auto error = check("with our certificate", ec)) return error;
    if (!texts.key.empty()) tls.use_private_key(bytes(texts.key.reveal()), asio::ssl::context::pem, ec);
    return check("with our key", ec);
  }

  template <class Stream, class Lowest>
  Result<Response> over(const Task& task, Stream& stream, Lowest& lowest, const Sink& sink, bool keep) {
    const Request& request = *task.request;
    beast::http::request<beast::http::span_body<const char>> message;
    // The io_context is this thread's alone: whoever cancels may only end the connection under it.
    const int fd = lowest.socket().native_handle();
    const Canceller::Hook hook(task.aids->canceller, [fd] { ::shutdown(fd, SHUT_RDWR); });
    if (task.cancelled()) return interrupted(task);
    if (task.aids->sent != nullptr) *task.aids->sent = true;
    message.version(11);
    message.method_string(request.method);
    message.target(request.target);
    message.set(beast::http::field::host, host_header());
    for (const auto& [name, value] : request.headers) message.set(name, value);
    message.keep_alive(keep);
    message.body() = {request.body.data(), request.body.size()};
    if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
      message.content_length(request.body.size());
    }
    lowest.expires_after(task.deadline.remaining());
    ErrorCode write_error = wait([&](auto done) { beast::http::async_write(stream, message, done); });
    if (write_error == beast::error::timeout) return timed_out(task, "write");
    // A server may refuse the request before it has read all of it; its answer says why.
    auto answer = receive(task, stream, lowest, sink);
    if (!answer.ok() && answer.error().code == Code::kIo && write_error) return failed(task, "write", write_error);
    keeps_ = keeps_ && keep && !write_error;
    return answer;
  }

  template <class Stream, class Lowest>
  Result<Response> receive(const Task& task, Stream& stream, Lowest& lowest, const Sink& sink) {
    beast::flat_buffer buffer;
    buffer.reserve(kAtOnce);
    beast::http::response_parser<beast::http::buffer_body> parser;
    parser.header_limit(kHeaderLimit);
    parser.body_limit(boost::none);
    if (task.request->method == "HEAD") parser.skip(true);
    lowest.expires_after(task.deadline.remaining());
    ErrorCode ec = wait([&](auto done) { beast::http::async_read_header(stream, buffer, parser, done); });
    if (ec) return failed(task, "read the answer", ec);
    Response response;
    response.status = static_cast<int>(parser.get().result_int());
    for (const auto& field : parser.get()) add_header(response, field.name_string(), field.value());
    const auto length = parser.content_length();
    std::string piece(length ? std::min<uint64_t>(std::max<uint64_t>(*length, 1), kPiece) : kPiece, '\0');
    while (!parser.is_done()) {
      parser.get().body().data = piece.data();
      parser.get().body().size = piece.size();
      lowest.expires_after(task.deadline.remaining());
      ec = wait([&](auto done) { beast::http::async_read_some(stream, buffer, parser, done); });
      if (ec == beast::http::error::need_buffer) ec = {};
      if (ec && !(ec == asio::ssl::error::stream_truncated && parser.is_done()))
        return failed(task, "read the answer", ec);
      size_t size = piece.size() - parser.get().body().size;
      if (size > 0 && !sink(response.status, std::string_view(piece.data(), size))) return response;
    }
    keeps_ = parser.keep_alive() && buffer.size() == 0;
    return response;
  }

  static void add_header(Response& response, beast::string_view name, beast::string_view value) {
    std::string key(name.data(), name.size());
    for (char& c : key) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    std::string& text = response.headers[key];
    if (!text.empty()) text += ", ";
    text.append(value.data(), value.size());
  }

  const Endpoint endpoint_;
  asio::io_context io_{1};
  std::optional<asio::ssl::context> tls_context_;
  std::optional<UnixStream> unix_;  // one of these three is open
  std::optional<TcpStream> tcp_;
  std::optional<TlsStream> tls_;
  bool keeps_ = false;  // another request may go over it
};

Channel::Channel(const Endpoint& endpoint) : impl_(std::make_unique<Impl>(endpoint)) {}
Channel::~Channel() = default;

std::optional<Error> Channel::open(const Request& request, Deadline deadline, const CallAids& aids) {
  return impl_->open(request, deadline, aids);
}

Result<Response> Channel::talk(const Request& request, Deadline deadline, const Sink& sink, const CallAids& aids,
                               bool keep) {
  return impl_->talk(request, deadline, sink, aids, keep);
}

int Channel::fd() const { return impl_->fd(); }
void Channel::close() { impl_->close(); }

}  // namespace pgb::http
