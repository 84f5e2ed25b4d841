#include "pgclient/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace pgb::pgclient {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  std::string name;
};

std::string text_of(int number) { return std::error_code(number, std::generic_category()).message(); }

Result<Address> unix_address(const std::string& host, uint16_t port) {
  Address address;
  address.name = host + "/.s.PGSQL." + std::to_string(port);
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  if (address.name.size() >= sizeof un.sun_path) {
    return Error(Code::kConfig, "the socket path " + address.name + " is longer than the kernel allows")
        .with("try", "use a directory with a shorter name");
  }
  std::memcpy(un.sun_path, address.name.c_str(), address.name.size() + 1);
  std::memcpy(&address.storage, &un, sizeof un);
  address.size = sizeof un;
  return address;
}

Result<Address> resolve(const std::string& host, uint16_t port) {
  if (!host.empty() && host[0] == '/') return unix_address(host, port);
  std::string ip = host == "localhost" ? "127.0.0.1" : host;
  Address address;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET, ip.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&address.storage, &v4, sizeof v4);
    address.size = sizeof v4;
    address.name = ip + ":" + std::to_string(port);
    return address;
  }
  if (inet_pton(AF_INET6, ip.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.size = sizeof v6;
    address.name = "[" + ip + "]:" + std::to_string(port);
    return address;
  }
  return Error(Code::kConfig, "\"" + host + "\" is neither an IP address nor \"localhost\" nor a socket directory");
}

Error unreachable(const std::string& peer, int number) {
  return Error(Code::kUnreachable, "no PostgreSQL server answers at " + peer + ": " + text_of(number))
      .with("try", "check that the server runs and listens there");
}

}  // namespace

Socket::Socket(Socket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), tls_(std::move(other.tls_)), peer_(std::move(other.peer_)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this == &other) return *this;
  close();
  fd_ = std::exchange(other.fd_, -1);
  tls_ = std::move(other.tls_);
  peer_ = std::move(other.peer_);
  return *this;
}

Socket::~Socket() { close(); }

void Socket::close() {
  if (fd_ >= 0 && !tls_) ::close(fd_);
  tls_.reset();
  fd_ = -1;
}

Status Socket::wait(short events, Deadline deadline, const char* doing) const {
  for (;;) {
    pollfd entry{};
    entry.fd = fd_;
    entry.events = events;
    int ready = ::poll(&entry, 1, deadline.poll_ms());
    if (ready > 0) return Status();
    if (ready < 0 && errno != EINTR)
      return Error(Code::kIo, std::string("cannot wait for ") + peer_ + ": " + text_of(errno));
    if (deadline.expired()) {
      return Error(Code::kTimeout, std::string("the time limit passed while ") + doing + " " + peer_);
    }
  }
}

Result<Socket> Socket::connect(const std::string& host, uint16_t port, Deadline deadline) {
  auto address = resolve(host, port);
  if (!address) return std::move(address).error();
  Socket socket;
  socket.peer_ = address->name;
  auto* target = reinterpret_cast<const sockaddr*>(&address->storage);
  socket.fd_ = ::socket(target->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket.fd_ < 0) return Error(Code::kIo, "cannot make a socket: " + text_of(errno));
  if (target->sa_family != AF_UNIX) {
    int on = 1;
    ::setsockopt(socket.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(socket.fd_, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  if (::connect(socket.fd_, target, address->size) == 0) return socket;
  // EAGAIN is a Unix socket whose queue is full: nobody to wait for with poll.
  if (errno != EINPROGRESS && errno != EINTR) return unreachable(socket.peer_, errno);
  PGB_TRY(socket.wait(POLLOUT, deadline, "connecting to"));
  int number = 0;
  socklen_t size = sizeof number;
  if (::getsockopt(socket.fd_, SOL_SOCKET, SO_ERROR, &number, &size) != 0) number = errno;
  if (number != 0) return unreachable(socket.peer_, number);
  return socket;
}

Status Socket::send(std::string_view bytes, Deadline deadline) {
  if (tls_) return send_tls(bytes, deadline);
  while (!bytes.empty()) {
    ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      PGB_TRY(wait(POLLOUT, deadline, "sending to"));
    } else if (errno != EINTR) {
      return Error(Code::kIo, "cannot send to " + peer_ + ": " + text_of(errno));
    }
  }
  return Status();
}

Result<std::string> Socket::receive(Deadline deadline, size_t most) {
  if (tls_) return receive_tls(deadline, most);
  char buffer[16384];
  for (;;) {
    ssize_t got = ::recv(fd_, buffer, std::min(sizeof buffer, most), 0);
    if (got > 0) return std::string(buffer, static_cast<size_t>(got));
    if (got == 0) return Error(Code::kIo, "the server at " + peer_ + " closed the connection");
    if (errno == EAGAIN) {
      PGB_TRY(wait(POLLIN, deadline, "waiting for"));
    } else if (errno != EINTR) {
      return Error(Code::kIo, "cannot read from " + peer_ + ": " + text_of(errno));
    }
  }
}

// --- TLS

Status Socket::wait_tls(Deadline deadline, const char* doing, bool writing) const {
  return wait(writing || tls_->read_wants_write() ? POLLOUT : POLLIN, deadline, doing);
}

Error Socket::tls_broke(const char* what) const {
  const std::string why = tls_->failure();
  return Error(Code::kIo, std::string(what) + peer_ + (why.empty() ? " was lost" : " failed: " + why));
}

Status Socket::start_tls(const net::TlsContext& context, const std::string& host, Deadline deadline) {
  tls_ = net::tls_client_stream(os::UniqueFd(fd_), context, host);
  if (!tls_) {
    fd_ = -1;
    return Error(Code::kInternal, "cannot start TLS with " + peer_);
  }
  for (;;) {
    const net::IoResult done = tls_->handshake();
    if (done.kind == net::IoResult::Kind::kDone) return Status();
    if (done.kind == net::IoResult::Kind::kWait) {
      PGB_TRY(wait_tls(deadline, "starting TLS with", false));
      continue;
    }
    Error error = tls_broke("the TLS handshake with ");
    error.code = Code::kUnreachable;
    return error;
  }
}

Status Socket::send_tls(std::string_view bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const net::IoResult sent = tls_->write(bytes);
    if (sent.kind == net::IoResult::Kind::kDone) {
      bytes.remove_prefix(sent.count);
    } else if (sent.kind == net::IoResult::Kind::kWait) {
      PGB_TRY(wait_tls(deadline, "sending to", true));
    } else {
      return tls_broke("the TLS connection to ");
    }
  }
  return Status();
}

Result<std::string> Socket::receive_tls(Deadline deadline, size_t most) {
  std::string bytes(std::min<size_t>(most, 16384), '\0');
  for (;;) {
    const net::IoResult got = tls_->read(bytes.data(), bytes.size());
    if (got.kind == net::IoResult::Kind::kDone) {
      bytes.resize(got.count);
      return bytes;
    }
    if (got.kind == net::IoResult::Kind::kClosed) {
      return Error(Code::kIo, "the server at " + peer_ + " closed the connection");
    }
    if (got.kind == net::IoResult::Kind::kFailed) return tls_broke("the TLS connection to ");
    PGB_TRY(wait_tls(deadline, "waiting for", false));
  }
}

}  // namespace pgb::pgclient
