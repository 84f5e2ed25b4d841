// A non-blocking stream socket whose calls wait until a deadline. Not for use outside pgclient.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"
#include "net/stream.h"

namespace pgb::pgclient {

class Socket {
 public:
  Socket() = default;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  // `host`: IPv4 or IPv6 address, "localhost" (127.0.0.1), or "/dir" for dir/.s.PGSQL.port.
  // kUnreachable, kTimeout, kConfig for a host that is none of these.
  static Result<Socket> connect(const std::string& host, uint16_t port, Deadline deadline);

  // Sends everything. kTimeout, kIo.
  Status send(std::string_view bytes, Deadline deadline);
  // What came, at least one byte and no more than `most`. kTimeout, kIo (also at the end).
  Result<std::string> receive(Deadline deadline, size_t most = 16384);
  // From here on everything is encrypted; `host`: see net::tls_client_stream. kUnreachable with the cause; kTimeout.
  Status start_tls(const net::TlsContext& context, const std::string& host, Deadline deadline);
  // Of the TLS connection; empty without.
  std::string end_point() const { return tls_ ? tls_->end_point() : std::string(); }

  int fd() const { return fd_; }
  const std::string& peer() const { return peer_; }  // for error messages

 private:
  Status wait(short events, Deadline deadline, const char* doing) const;
  void close();
  Status send_tls(std::string_view bytes, Deadline deadline);
  Result<std::string> receive_tls(Deadline deadline, size_t most);
  Status wait_tls(Deadline deadline, const char* doing, bool writing) const;
  Error tls_broke(const char* what) const;

  int fd_ = -1;
  std::unique_ptr<net::Stream> tls_;  // over fd_, which it owns then
  std::string peer_;
};

}  // namespace pgb::pgclient
