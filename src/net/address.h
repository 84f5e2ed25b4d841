// A TCP address as a value. Numeric only: names are the business of whoever writes the configuration
// (a static program has no name service); "localhost" is understood as 127.0.0.1.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "base/result.h"

namespace pgb::net {

class Address {
 public:
  // kConfig if `host` is neither an IPv4 or IPv6 address nor "localhost".
  static Result<Address> parse(const std::string& host, uint16_t port);

  // The peer of a connected socket; an empty address if the kernel does not say.
  static Address peer_of(int fd);
  // The local end of a socket.
  static Address local_of(int fd);

  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }
  int family() const { return storage_.ss_family; }
  bool is_loopback() const;
  uint16_t port() const;
  std::string host() const;  // "127.0.0.1", "::1"
  std::string str() const;   // "127.0.0.1:5432", "[::1]:5432"

 private:
  sockaddr_storage storage_ = {};
  socklen_t size_ = 0;
};

}  // namespace pgb::net
