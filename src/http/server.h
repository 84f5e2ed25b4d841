// A small HTTP/1.1 server: a thread that accepts, one short-lived thread a connection (at most 64 unless told; of more,
// one that has kept us waiting for a request for a second has to go, else one that has its answer and has not asked
// again, of those who are known one only if all are, or the new one is refused with 503), keep-alive, limits on header
// (16 KiB), body (1 MiB) and time (10 s).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "http/message.h"

struct ssl_ctx_st;

namespace pgb::http {

using TlsContext = std::shared_ptr<ssl_ctx_st>;  // of OpenSSL

class Server {
 public:
  // Runs on a connection's thread, so it must be thread-safe. Exceptions become a 500.
  using Handler = std::function<Response(const Request&)>;
  // Asked for each connection, on its thread: what it begins with. Null: it is not encrypted.
  using Tls = std::function<TlsContext()>;

  // Binds and starts to serve. Port 0 takes a free one. kPortInUse or kIo.
  static Result<std::unique_ptr<Server>> start(const std::string& address, uint16_t port, Handler handler,
                                               size_t max_connections = 64, Tls tls = nullptr);

  // The same with a socket that listens already, which is taken over from now on, also on failure. kIo.
  static Result<std::unique_ptr<Server>> start(int listener, Handler handler, size_t max_connections = 64,
                                               Tls tls = nullptr);

  // A socket for it, on which clients may connect but nobody answers them yet. Whoever calls has to close it, or to
  // hand it to start(). Errors as above.
  static Result<int> listen(const std::string& address, uint16_t port);

  virtual ~Server() = default;  // stops accepting, waits for running handlers
  virtual uint16_t port() const = 0;
  virtual int listener() const = 0;  // stays the server's
};

// What stands behind "Bearer" in the request's authorization header; empty if nothing does. Lives as long as the
// request.
std::string_view bearer_of(const Request& request);
// "Bearer <token>" in the request's authorization header, compared in constant time.
bool has_bearer(const Request& request, const std::string& token);

// An answer with that status and a body as RFC 9457 has it: "type" is the id of an error ("PGB-AUTH"), "title" what
// such errors have in common, "detail" the message. Without a code the status says of what kind it is.
Response problem(int status, std::string_view message);
Response problem(int status, Code code, std::string_view message);

}  // namespace pgb::http
