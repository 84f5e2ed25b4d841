// A blocking HTTP/1.1 client over TCP, TLS or a Unix socket: one connection a request, or one that is kept.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/canceller.h"
#include "base/deadline.h"
#include "base/result.h"
#include "base/secret.h"
#include "http/message.h"

namespace pgb::http {

// PEM, as it is used; each may be empty.
struct TlsTexts {
  std::string ca;    // authorities that vouch for the server; empty takes the system's
  std::string cert;  // who we are
  Secret key;
};

// Where to connect.
struct Endpoint {
  enum class Kind { kUnix, kTcp, kTls } kind = Kind::kTcp;
  std::string path;  // of the Unix socket
  std::string host;  // an IP address or "localhost"
  uint16_t port = 0;
  std::string ca_file, cert_file, key_file;  // kTls
  TlsTexts tls;                              // the same, where no files are to be read at each connection
  // kTls: certificates (PEM), of which the server must show one; then no authority, name or date counts.
  std::string pinned;

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

class Channel;

// One connection for one request after the other. One thread at a time.
class KeptConnection {
 public:
  explicit KeptConnection(Endpoint endpoint);
  ~KeptConnection();

  // As http::call(), over the connection that stands, else over a new one, which stays if the server lets it.
  // After a failure none stands. If the last one `reused()` a connection, kIo may mean only that the server had just
  // ended it; it may have read the request before.
  Result<Response> call(const Request& request, Deadline deadline, const CallAids& aids = {});
  bool reused() const { return reused_; }
  const Endpoint& endpoint() const { return endpoint_; }

  // Of the connection that stands: something to read on it says that it has ended. -1: none stands.
  int fd() const;
  void close();

 private:
  Result<Response> exchange(const Request& request, Deadline deadline,
                            const std::function<bool(int, std::string_view)>& sink, const CallAids& aids);
  bool has_ended() const;

  const Endpoint endpoint_;
  std::unique_ptr<Channel> channel_;
  bool reused_ = false;
};

}  // namespace pgb::http
