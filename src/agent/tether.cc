#include "agent/tether.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "net/socket.h"

namespace pgb::agent {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

// The other side ends connections on which nothing comes for 10 s: that is no news of it.
constexpr milliseconds kOld{8000}, kTooOld{9500};

}  // namespace

void Tether::wait(ha::Duration pause, const Wake& wake) {
  pollfd wanted[] = {{wake.fd(), POLLIN, 0}, {let_go_ ? -1 : fd_.get(), POLLIN, 0}};
  poll(wanted, 2, static_cast<int>(pause.count()));
  if (wanted[1].revents != 0) look();
}

std::optional<ha::Time> Tether::let_go() {
  look();
  return let_go_;
}

// A connection that is being made is not one: what ends it is no news of who was there before.
void Tether::look() {
  if (!fd_ || let_go_) return;
  char byte = 0;
  const ssize_t got = ::recv(fd_.get(), &byte, 1, MSG_DONTWAIT);
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return;
  const bool by_peer = got == 0 || errno == ECONNRESET;
  const ha::Time now = Clock::now();
  if (by_peer && now - made_ < kTooOld) let_go_ = now;
  fd_.reset();
}

void Tether::renew() {
  const ha::Time now = Clock::now();
  if (fd_ && !let_go_ && now - made_ < kOld) return;
  let_go_.reset();
  fd_.reset();
  const auto address = net::Address::parse(host_, port_);
  if (!address.ok()) return;
  auto fd = net::start_connect(*address);
  if (fd.ok()) fd_ = std::move(*fd), made_ = now;
}

}  // namespace pgb::agent
