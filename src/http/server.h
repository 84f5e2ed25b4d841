// A small HTTP/1.1 server: a thread that accepts, one short-lived thread a connection (at most 64 unless told,
// more are refused with 503), keep-alive, limits on header (16 KiB), body (1 MiB) and time (10 s).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "http/message.h"

namespace pgb::http {

class Server {
 public:
  // Runs on a connection's thread, so it must be thread-safe. Exceptions become a 500.
  using Handler = std::function<Response(const Request&)>;

  // Binds and starts to serve. Port 0 takes a free one. kPortInUse or kIo.
  static Result<std::unique_ptr<Server>> start(const std::string& address, uint16_t port, Handler handler,
                                               size_t max_connections = 64);

  // The same with a socket that listens already, which is taken over from now on, also on failure. kIo.
  static Result<std::unique_ptr<Server>> start(int listener, Handler handler, size_t max_connections = 64);

  virtual ~Server() = default;  // stops accepting, waits for running handlers
  virtual uint16_t port() const = 0;
  virtual int listener() const = 0;  // stays the server's
};

// What stands behind "Bearer" in the request's authorization header; empty if nothing does. Lives as long as the
// request.
std::string_view bearer_of(const Request& request);
// "Bearer <token>" in the request's authorization header, compared in constant time.
bool has_bearer(const Request& request, const std::string& token);

// An answer with that status and a body as RFC 9457 has it: "type" is the id of an error ("PGB-AUTH"), "detail" the
// message.
Response problem(int status, std::string_view message);

}  // namespace pgb::http
