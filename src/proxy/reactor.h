// One thread with its own loop, listening socket and sessions.
#pragma once

#include <memory>
#include <thread>
#include <unordered_map>

#include "net/event_loop.h"
#include "os/unique_fd.h"
#include "proxy/reactor_context.h"
#include "proxy/session.h"

namespace pgb::proxy {

class Reactor {
 public:
  // kIo when descriptors are short.
  static Result<std::unique_ptr<Reactor>> create(os::UniqueFd listener, const Shared& shared, TopologyPtr topology);
  ~Reactor();

  void start();                      // the thread begins
  void apply(TopologyPtr topology);  // any thread
  void stop();                       // any thread but its own: tells clients, ends, waits

 private:
  Reactor(std::unique_ptr<net::EventLoop> loop, os::UniqueFd listener, const Shared& shared, TopologyPtr topology);
  void listen();
  void accept();
  void shut_down();

  std::unique_ptr<net::EventLoop> loop_;
  os::UniqueFd listener_;
  net::EventLoop::Watch watch_ = 0;
  ReactorContext context_;
  uint64_t next_id_ = 1;
  std::unordered_map<uint64_t, std::unique_ptr<Session>> sessions_;
  std::thread thread_;
};

}  // namespace pgb::proxy
