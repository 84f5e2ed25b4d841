// One thread with its own loop, listening socket and sessions.
#pragma once

#include <pthread.h>

#include <memory>
#include <unordered_map>

#include "net/event_loop.h"
#include "os/unique_fd.h"
#include "proxy/pool.h"
#include "proxy/reactor_context.h"
#include "proxy/router.h"
#include "proxy/session.h"

namespace pgb::proxy {

class Reactor final : public net::Pollable {
 public:
  // kIo when descriptors are short.
  static Result<std::unique_ptr<Reactor>> create(unsigned index, os::UniqueFd listener, const Shared& shared,
                                                 TopologyPtr topology);
  ~Reactor();

  void start();                                           // the thread begins
  void apply(TopologyPtr topology);                       // any thread
  void set_pool(const PoolSettings& settings);            // any thread
  void run(std::function<void(ReactorContext&)> action);  // any thread: on the reactor's own
  void stop();                                            // any thread but its own: tells clients, ends, waits
  const ReactorStats& stats() const { return context_.stats; }

  void on_events(uint32_t events) override;  // somebody wants to connect

 private:
  Reactor(unsigned index, std::unique_ptr<net::EventLoop> loop, os::UniqueFd listener, const Shared& shared,
          TopologyPtr topology);
  void tick();
  void listen();
  void accept();
  void shut_down();

  std::unique_ptr<net::EventLoop> loop_;
  os::UniqueFd listener_;
  bool listening_ = false;
  ReactorContext context_;
  Pools pools_;
  Router router_;
  unsigned ticks_ = 0;
  uint64_t next_id_ = 1;
  std::vector<std::unique_ptr<Server>> graves_;
  std::unordered_map<uint64_t, std::unique_ptr<Session>> sessions_;
  pthread_t thread_ = {};
  bool running_ = false;
};

}  // namespace pgb::proxy
