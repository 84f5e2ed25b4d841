#include "http/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/log.h"
#include "http/connection.h"

namespace pgb::http {
namespace {

constexpr int64_t kPatience = 1'000'000'000;  // ns

int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

constexpr char kBusyAnswer[] =
    "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n";

struct Bound {
  int fd;
  uint16_t port;
};

Error cannot_serve(const std::string& where, int err) {
  if (err == EADDRINUSE) {
    return Error(Code::kPortInUse, "cannot serve HTTP on " + where + ": the port is in use")
        .with("try", "another port, or stop what listens there");
  }
  return Error(Code::kIo, "cannot serve HTTP on " + where + ": " + std::strerror(err));
}

Result<int> listen_at(const std::string& address, uint16_t port) {
  std::string where = address + ":" + std::to_string(port);
  sockaddr_storage name = {};
  auto* v4 = reinterpret_cast<sockaddr_in*>(&name);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&name);
  socklen_t size = 0;
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    size = sizeof(sockaddr_in);
  } else if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    size = sizeof(sockaddr_in6);
  } else {
    return Error(Code::kIo, "cannot serve HTTP on " + where + ": " + address + " is no IP address");
  }
  int fd = ::socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return cannot_serve(where, errno);
  int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&name), size) != 0 || ::listen(fd, 128) != 0) {
    int err = errno;
    ::close(fd);
    return cannot_serve(where, err);
  }
  return fd;
}

class ThreadedServer : public Server {
 public:
  ThreadedServer(Bound bound, int wake_fd, Handler handler, size_t max_connections, Tls tls)
      : listen_fd_(bound.fd),
        port_(bound.port),
        wake_fd_(wake_fd),
        handler_(std::move(handler)),
        tls_(std::move(tls)),
        max_connections_(max_connections) {
    acceptor_ = std::thread([this] { accept_loop(); });
  }
  ThreadedServer(const ThreadedServer&) = delete;
  ThreadedServer& operator=(const ThreadedServer&) = delete;

  ~ThreadedServer() override {
    stopping_ = true;
    uint64_t one = 1;
    [[maybe_unused]] ssize_t n = ::write(wake_fd_, &one, sizeof one);
    acceptor_.join();
    ::close(listen_fd_);
    ::close(wake_fd_);
    end_connections();
  }

  uint16_t port() const override { return port_; }
  int listener() const override { return listen_fd_; }

 private:
  struct Slot {
    int fd = -1;
    bool done = false;
    bool leaving = false;  // it had to make room
    Waiting waiting;
    std::thread thread;
  };

  // Nobody is at work there, nor has begun to be: neither an answer nor a part of a request is lost with it.
  static bool is_idle(const Slot& slot) {
    pollfd state = {slot.fd, POLLIN, 0};
    return slot.waiting.between() && ::poll(&state, 1, 0) == 0;
  }

  void accept_loop() {
    while (!stopping_) {
      pollfd wanted[2] = {{listen_fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
      if (::poll(wanted, 2, -1) < 0 && errno != EINTR) break;
      if (stopping_ || (wanted[0].revents & POLLIN) == 0) continue;
      int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) {
        take(fd);
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        reap();
        ::poll(&wanted[1], 1, 100);  // out of descriptors: let some connections end
      }
    }
  }

  void take(int fd) {
    reap();
    std::lock_guard lock(mutex_);
    if (!has_room()) return turn_away(fd);
    int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Slot& slot = slots_.emplace_back();
    slot.fd = fd;
    slot.waiting.note(now_ns());
    try {
      slot.thread = std::thread([this, &slot] { run(slot); });
    } catch (const std::system_error& failure) {
      log::error(std::string("no thread for an HTTP connection: ") + failure.what());
      slots_.pop_back();
      turn_away(fd);
    }
  }

  struct Choice {
    Slot* slot = nullptr;
    int64_t since = 0;
    void offer(Slot& other, int64_t other_since) {
      if (slot == nullptr || other_since < since) *this = {&other, other_since};
    }
  };

  // mutex_ is held. Whoever has sent no whole request for a while goes before somebody new is refused, and then whoever
  // has had his answer and not yet asked again: connections that only stand there keep nobody out. Strangers go first:
  // however many there are, they end no connection of those who have shown who they are.
  bool has_room() {
    for (;;) {
      size_t staying = 0;
      const Choice goes = choose(staying);
      if (staying < max_connections_) return slots_.size() < 2 * max_connections_;
      if (goes.slot == nullptr) return false;
      if (!goes.slot->waiting.send_away(goes.since)) continue;  // its request has just come
      goes.slot->leaving = true;
      ::shutdown(goes.slot->fd, SHUT_RDWR);
      return true;
    }
  }

  // Who would have to go; `staying`: how many there are.
  Choice choose(size_t& staying) {
    Choice late, idle, known;
    bool strangers = false;
    const int64_t patience_ends = now_ns() - kPatience;
    for (Slot& slot : slots_) {
      if (slot.leaving || slot.done) continue;
      ++staying;
      const auto since = slot.waiting.since();
      if (!since) continue;
      strangers = strangers || !slot.waiting.known();
      if (slot.waiting.between() && !is_idle(slot)) continue;  // it is about to be served
      const bool is_late = *since <= patience_ends;
      if (slot.waiting.known()) {
        if (is_late || is_idle(slot)) known.offer(slot, *since);
      } else if (is_late) {
        late.offer(slot, *since);
      } else if (is_idle(slot)) {
        idle.offer(slot, *since);
      }
    }
    if (late.slot != nullptr) return late;
    if (idle.slot != nullptr || strangers) return idle;
    return known;
  }

  // The connection works on a copy of the descriptor: that of the slot stays ours until the thread is
  // joined, so that shutdown(2) below can never hit a descriptor of somebody else.
  void run(Slot& slot) {
    int own = ::fcntl(slot.fd, F_DUPFD_CLOEXEC, 0);
    if (own >= 0) serve_connection(own, handler_, {stopping_, slot.waiting}, limits_, tls_ ? tls_() : nullptr);
    ::shutdown(slot.fd, SHUT_RDWR);
    std::lock_guard lock(mutex_);
    slot.done = true;
    ended_.notify_all();
  }

  static void turn_away(int fd) {
    ::send(fd, kBusyAnswer, sizeof kBusyAnswer - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    ::shutdown(fd, SHUT_WR);
    char bytes[4096];
    while (::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
    }
    ::close(fd);
  }

  void reap() {
    std::list<Slot> finished;
    {
      std::lock_guard lock(mutex_);
      for (auto it = slots_.begin(); it != slots_.end();) {
        auto next = std::next(it);
        if (it->done) finished.splice(finished.end(), slots_, it);
        it = next;
      }
    }
    for (Slot& slot : finished) {
      slot.thread.join();
      ::close(slot.fd);
    }
  }

  // Idle connections end at once, running handlers may answer; who does not read his answer is cut off.
  void end_connections() {
    std::unique_lock lock(mutex_);
    auto all_done = [this] {
      for (const Slot& slot : slots_) {
        if (!slot.done) return false;
      }
      return true;
    };
    for (Slot& slot : slots_) ::shutdown(slot.fd, SHUT_RD);
    if (!ended_.wait_for(lock, std::chrono::seconds(2), all_done)) {
      for (Slot& slot : slots_) ::shutdown(slot.fd, SHUT_RDWR);
      ended_.wait(lock, all_done);
    }
    lock.unlock();
    reap();
  }

  int listen_fd_;
  uint16_t port_;
  int wake_fd_;
  Handler handler_;
  Tls tls_;
  const size_t max_connections_;
  ServeLimits limits_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;  // guards slots_
  std::condition_variable ended_;
  std::list<Slot> slots_;
  std::thread acceptor_;  // last: it uses all the others
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(const std::string& address, uint16_t port, Handler handler,
                                              size_t max_connections, Tls tls) {
  auto listener = listen_at(address, port);
  if (!listener.ok()) return std::move(listener).error();
  return start(*listener, std::move(handler), max_connections, std::move(tls));
}

Result<int> Server::listen(const std::string& address, uint16_t port) { return listen_at(address, port); }

Result<std::unique_ptr<Server>> Server::start(int listener, Handler handler, size_t max_connections, Tls tls) {
  sockaddr_storage name = {};
  socklen_t size = sizeof name;
  const bool known = ::getsockname(listener, reinterpret_cast<sockaddr*>(&name), &size) == 0;
  const int wake_fd = known ? ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
  if (wake_fd < 0) {
    const int err = errno;
    ::close(listener);
    return Error(Code::kIo, std::string("the HTTP server's socket: ") + std::strerror(err));
  }
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&name);
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&name);
  const Bound bound{listener, ntohs(name.ss_family == AF_INET ? v4->sin_port : v6->sin6_port)};
  try {
    return std::unique_ptr<Server>(
        new ThreadedServer(bound, wake_fd, std::move(handler), max_connections, std::move(tls)));
  } catch (const std::exception& failure) {
    ::close(listener);
    ::close(wake_fd);
    return Error(Code::kIo, std::string("cannot start the HTTP server: ") + failure.what());
  }
}

}  // namespace pgb::http
