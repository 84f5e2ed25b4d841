// Online restart: a new process takes over the listening sockets of the one that runs, and what was ordered of it. The
// old one serves its sessions to their end; cancel requests for them, which arrive at the new one, are passed on to it.
//
//   new                     old
//   connect            →
//                      ←    "offer" with the sockets: where it listens
//   "take"             →    takes no more clients; they wait in the kernel
//                      ←    "yours" with the orders, and the key of the tokens that it gave
//   "serving"          →    closes the sockets
//   "client", a socket →    serves that client (a cancel request)
//   "orders"           →    holds to them, whose sessions may be paused, or at a node that is drained
//
// From "yours" on the old one takes no orders of anybody else. If the new process is gone before it said "serving", the
// old one goes on as if nothing had happened.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "os/fd_channel.h"
#include "proxy/proxy.h"

namespace pgb::control {

// The process that ran before, as the new one sees it.
class Predecessor {
 public:
  // Null if nobody listens at `path`. kIo, kTimeout or kProtocol if whoever is there does not hand over; kAuth if it
  // runs as somebody else than root, ourselves or `user`.
  static Result<std::unique_ptr<Predecessor>> find(const std::string& path, std::optional<uint32_t> user);
  ~Predecessor();

  // Its sockets, if it listens at that address and port (0: any); else none. Once.
  std::vector<os::UniqueFd> postgres_listeners(const std::string& address, uint16_t port);
  os::UniqueFd rest_listener(const std::string& address, uint16_t port);

  struct Inheritance {
    proxy::Orders orders;
    Secret token_key;  // of the REST interface; empty: it gave none
  };
  // From here on no client is served until serving() was called, so nothing may be in between that can fail.
  Result<Inheritance> take();
  // Cancel requests and what is ordered go to it until it ends; then the proxy is told. The proxy must live longer.
  Status serving(proxy::Proxy& proxy);
  bool has_ended() const { return ended_; }  // after serving()

 private:
  explicit Predecessor(os::FdChannel channel) : channel_(std::move(channel)) {}
  Status read_offer();

  struct Offered {
    std::string address;
    uint16_t port = 0;
    std::vector<os::UniqueFd> fds;
  };
  std::vector<os::UniqueFd> pick(Offered& offered, const std::string& address, uint16_t port);

  os::FdChannel channel_;
  Offered postgres_, rest_;
  proxy::Proxy* told_ = nullptr;
  std::atomic<bool> ended_{false};
  std::thread watch_;
};

// What the running process offers to a successor, on a thread of its own.
class Handover {
 public:
  struct Offer {
    std::string address;  // as configured
    uint16_t port = 0;
    std::string rest_address;
    uint16_t rest_port = 0;
    int rest_listener = -1;  // -1: none
    Secret token_key;        // of the REST interface
  };
  // `on_done` is called once, on that thread, when another process serves. kIo if the socket cannot be made.
  static Result<std::unique_ptr<Handover>> start(const std::string& path, std::optional<uint32_t> owner, Offer offer,
                                                 proxy::Proxy& proxy, std::function<void()> on_done);
  ~Handover();  // the socket's file goes, unless it is the successor's

 private:
  Handover(std::string path, os::UniqueFd listener, Offer offer, proxy::Proxy& proxy, std::function<void()> on_done);
  void run();
  Status hand_over(const os::FdChannel& channel);
  Status give(const os::FdChannel& channel);
  void serve_successor(const os::FdChannel& channel);

  const std::string path_;
  os::UniqueFd listener_;
  const Offer offer_;
  proxy::Proxy& proxy_;
  const std::function<void()> on_done_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> handed_over_{false};
  std::thread thread_;
};

}  // namespace pgb::control
