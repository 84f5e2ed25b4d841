// Both ends of the balancer in a fuzzer's hand: clients, and fake servers behind listening sockets. All belong to the
// reactor's thread.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fake_postgres.h"
#include "net/address.h"
#include "net/socket.h"
#include "os/unique_fd.h"

namespace pgb::fuzz {

// A socket that closes with a reset: nothing lingers in the kernel.
class End {
 public:
  End() = default;
  explicit End(os::UniqueFd fd) : fd_(std::move(fd)) {
    const linger at_once = {1, 0};
    const int yes = 1;
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }
  bool is_open() const { return static_cast<bool>(fd_); }
  void close() { fd_.reset(); }

  // Sends up to `most` bytes of `out` and forgets them.
  void send(std::string& out, size_t most = SIZE_MAX) {
    const size_t size = std::min(most, out.size());
    if (!is_open() || size == 0) return;
    const ssize_t sent = ::send(fd_.get(), out.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) out.erase(0, static_cast<size_t>(sent));
  }
  // What has come; closes at the end of the stream.
  std::string receive() {
    std::string in;
    char bytes[16384];
    while (is_open()) {
      const ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (got < 0 && errno == EAGAIN) break;
      if (got <= 0) close();
      if (got > 0) in.append(bytes, static_cast<size_t>(got));
      if (got < static_cast<ssize_t>(sizeof bytes)) break;
    }
    return in;
  }

 private:
  os::UniqueFd fd_;
};

struct ServerEnd {
  ServerEnd(os::UniqueFd fd, bool& honest) : end(std::move(fd)), postgres(honest) {}
  End end;
  FakePostgres postgres;
};

// What a client says and is told.
struct ClientEnd {
  End end;
  std::string mark, out, in, key;
  bool held = false;         // its bytes go out only as the fuzzer says
  bool greeted = false;      // logged in
  bool batch_open = false;   // extended messages without their Sync
  bool copying = false;      // it has asked for a COPY and owes the end of the data
  bool may_copy = false;     // one of its prepared statements is a COPY
  unsigned least_ready = 0;  // answers that it must get
  unsigned most_ready = 0;   // and those that it may get
  unsigned ready = 0;
  bool fatal = false;  // it was told that its session is over

  bool is_satisfied() const { return !end.is_open() || (out.empty() && greeted && ready >= least_ready); }

  // Looks at all that has come. `honest`: every server has told the truth so far.
  void read(bool honest) {
    in += end.receive();
    size_t at = 0;
    for (;;) {
      bool broken = false;
      const std::string_view one = first_message(std::string_view(in).substr(at), broken);
      if (broken && honest) found("what " + mark + " gets is no message");
      if (broken) in.clear();
      if (one.empty()) break;
      look(one, honest);
      at += one.size();
    }
    in.erase(0, std::min(at, in.size()));
  }

 private:
  void look(std::string_view one, bool honest) {
    static constexpr std::string_view kKnown = "RSKZCDTtnE123IGHdcsNAVv";
    if (kKnown.find(one[0]) == std::string_view::npos && honest) found(std::string("a message of type ") + one[0]);
    if (one[0] == 'K') key.assign(one.substr(5));
    if (one[0] == 'E' && one.find("FATAL") != std::string_view::npos) fatal = true;
    if (one[0] == 'Z' && std::exchange(greeted, true)) ++ready;
    const bool row = one[0] == 'D' || one[0] == 'd';
    if (!honest) return;
    if (row && one.find(mark) == std::string_view::npos && one.find("pgbalancer") == std::string_view::npos) {
      found(mark + " gets a row of somebody else: " + std::string(one.substr(5)));
    }
    if (ready > most_ready) found(mark + " gets more answers than it asked for");
  }
};

class Listener {
 public:
  Listener() : fd_(std::move(*net::listen_on(*net::Address::parse("127.0.0.1", 0)))) {}
  uint16_t port() const { return net::Address::local_of(fd_.get()).port(); }
  os::UniqueFd accept() const { return net::accept_one(fd_.get()); }
  os::UniqueFd release() { return std::move(fd_); }

 private:
  os::UniqueFd fd_;
};

}  // namespace pgb::fuzz
