#include "net/socket.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace pgb::net {
namespace {

constexpr int kBacklog = 1024;
constexpr int kStreamFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

void set_option(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); }

// Algorithms that space packets out in time, as BBR does, arm a timer for what goes to the same machine, too.
bool is_paced() {
  static const bool kPaced = [] {
    const os::UniqueFd fd(::socket(AF_INET, kStreamFlags, 0));
    char name[16] = {};
    socklen_t size = sizeof name;
    return getsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, name, &size) == 0 && std::strncmp(name, "bbr", 3) == 0;
  }();
  return kPaced;
}

void unpace(int fd, const Address& peer) {
  constexpr char kPlain[] = "reno";  // which anybody may choose
  if (peer.is_loopback()) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, kPlain, sizeof kPlain - 1);
}

void tune(int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

Error listen_error(const Address& address) {
  const Code code = errno == EADDRINUSE ? Code::kPortInUse : Code::kIo;
  return Error(code, "cannot listen on " + address.str() + ": " + std::strerror(errno))
      .with("try", "stop what listens there (ss -ltnp), or choose another address or port");
}

Result<os::UniqueFd> bound(const Address& address, bool reuse_port) {
  os::UniqueFd fd(::socket(address.family(), kStreamFlags, 0));
  if (!fd) return listen_error(address);
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (reuse_port) set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (::bind(fd.get(), address.data(), address.size()) != 0) return listen_error(address);
  return fd;
}

}  // namespace

Result<os::UniqueFd> listen_on(const Address& address) {
  auto fd = bound(address, true);
  if (!fd) return fd;
  if (::listen(fd->get(), kBacklog) != 0) return listen_error(address);
  return fd;
}

Status check_port_free(const Address& address) {
  auto fd = bound(address, false);
  return fd ? Status() : Status(std::move(fd).error());
}

os::UniqueFd accept_one(int listener) {
  for (;;) {
    os::UniqueFd fd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd) tune(fd.get());
    if (fd && is_paced()) unpace(fd.get(), Address::peer_of(fd.get()));
    return fd;
  }
}

bool accept_exhausted() { return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM; }

Result<os::UniqueFd> start_connect(const Address& address) {
  os::UniqueFd fd(::socket(address.family(), kStreamFlags, 0));
  if (fd) {
    tune(fd.get());
    if (is_paced()) unpace(fd.get(), address);
    if (::connect(fd.get(), address.data(), address.size()) == 0 || errno == EINPROGRESS) return fd;
  }
  return Error(Code::kUnreachable, "cannot connect to " + address.str() + ": " + std::strerror(errno));
}

Status connect_result(int fd, const Address& address) {
  int failure = 0;
  socklen_t size = sizeof failure;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0) failure = errno;
  if (failure == 0) return Status();
  return Error(Code::kUnreachable, "cannot connect to " + address.str() + ": " + std::strerror(failure));
}

size_t unconfirmed(int fd) {
  int count = 0;
  return ::ioctl(fd, SIOCOUTQ, &count) == 0 && count > 0 ? static_cast<size_t>(count) : 0;
}

}  // namespace pgb::net
