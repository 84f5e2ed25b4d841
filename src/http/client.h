// A blocking HTTP/1.1 client: one connection a request, over TCP, TLS or a Unix socket.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/canceller.h"
#include "base/deadline.h"
#include "base/result.h"
#include "http/message.h"

namespace pgb::http {

// Where to connect.
struct Endpoint {
  enum class Kind { kUnix, kTcp, kTls } kind = Kind::kTcp;
  std::string path;  // of the Unix socket
  std::string host;  // an IP address or "localhost"
  uint16_t port = 0;
  std::string ca_file, cert_file, key_file;  // kTls

  // "unix:///var/run/docker.sock", "tcp://127.0.0.1:2375", "http://…"; kUsage if it is none of these.
  static Result<Endpoint> parse(std::string_view url);
  std::string str() const;
};

// For callers that have to know or do more about a call.
struct CallAids {
  Canceller* canceller = nullptr;  // cancelling it ends the call with kInterrupted
  bool* sent = nullptr;            // becomes: may the server have seen any of the request?
};

// Sends the request and reads the whole answer (at most 64 MiB). An answer with any status is a
// success here. Errors: kUnreachable (no such socket, refused), kEngineDenied (EACCES on a Unix
// socket), kTimeout, kIo. Any thread may call.
Result<Response> call(const Endpoint& endpoint, const Request& request, Deadline deadline, const CallAids& aids = {});

// The same, but hands each piece of the body to `on_data` as it arrives (pull progress, logs);
// on_data returning false ends the call with what has come so far. The returned body is empty for
// 2xx answers; for others it is the whole error body.
Result<Response> stream(const Endpoint& endpoint, const Request& request, Deadline deadline,
                        const std::function<bool(std::string_view)>& on_data, const CallAids& aids = {});

}  // namespace pgb::http
