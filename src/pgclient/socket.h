// A non-blocking stream socket whose calls wait until a deadline. Not for use outside pgclient.
#pragma once

#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"

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
  // What came, at least one byte. kTimeout, kIo (also at the end).
  Result<std::string> receive(Deadline deadline);

  const std::string& peer() const { return peer_; }  // for error messages

 private:
  Status wait(short events, Deadline deadline, const char* doing) const;
  void close();

  int fd_ = -1;
  std::string peer_;
};

}  // namespace pgb::pgclient
