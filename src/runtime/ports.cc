#include "runtime/ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "os/file.h"
#include "os/process.h"
#include "os/unique_fd.h"

namespace pgb::runtime {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<Address> parse_address(const std::string& text, uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof *v6;
  } else {
    return Error(Code::kConfig, "'" + text + "' is not an IP address");
  }
  return address;
}

// The bound socket; its errno in `err` if bind refused.
Result<os::UniqueFd> bind_to(const std::string& text, uint16_t port, int& err) {
  auto address = parse_address(text, port);
  if (!address.ok()) return std::move(address).error();
  os::UniqueFd fd(::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return os::errno_error("make", "a socket", errno);
  // As the servers do it: connections in TIME_WAIT are no obstacle, a listener is.
  int one = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  err = 0;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address->storage), address->size) != 0) err = errno;
  // With SO_REUSEADDR two may bind; only one may listen.
  if (err == 0 && port != 0 && ::listen(fd.get(), 1) != 0) err = errno;
  return fd;
}

std::string holder_text(uint16_t port) {
  auto holder = os::find_port_holder(port);
  if (!holder) return "a process that cannot be seen from here";
  if (holder->pid == 0) return "a process of user " + holder->user;
  return holder->program + ", pid " + std::to_string(holder->pid) + ", user " + holder->user;
}

}  // namespace

Result<uint16_t> free_port(const std::string& address) {
  int err = 0;
  auto fd = bind_to(address, 0, err);
  if (!fd.ok()) return std::move(fd).error();
  if (err != 0) return os::errno_error("bind to", address, err);
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(fd->get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return os::errno_error("ask the port of", address, errno);
  }
  uint16_t port = bound.ss_family == AF_INET ? reinterpret_cast<sockaddr_in*>(&bound)->sin_port
                                             : reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port;
  return static_cast<uint16_t>(ntohs(port));
}

Status check_port_free(const std::string& address, uint16_t port) {
  int err = 0;
  auto fd = bind_to(address, port, err);
  if (!fd.ok()) return std::move(fd).error();
  if (err == 0) return {};
  std::string where = address + ":" + std::to_string(port);
  if (err != EADDRINUSE) return os::errno_error("bind to", where, err);
  return Error(Code::kPortInUse, "port " + where + " is in use")
      .with("held by", holder_text(port))
      .with("try", "stop that program, or give another port in the cluster file");
}

}  // namespace pgb::runtime
