// One thread with its own loop, listening socket and sessions.
#pragma once

#include <pthread.h>

#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "net/event_loop.h"
#include "os/unique_fd.h"
#include "proxy/pool.h"
#include "proxy/reactor_context.h"
#include "proxy/router.h"
#include "proxy/session.h"
#include "proxy/survey.h"

namespace pgb::proxy {

class Reactor final : public net::Pollable {
 public:
  // kIo when descriptors are short.
  static Result<std::unique_ptr<Reactor>> create(unsigned index, std::vector<os::UniqueFd> listeners,
                                                 const Shared& shared, TopologyPtr topology);
  ~Reactor();

  void start(bool accepting);                   // the thread begins
  void apply(TopologyPtr topology);             // any thread
  void set_pool(const PoolSettings& settings);  // any thread
  void give(OrdersPtr orders);                  // any thread
  // Any thread: whether clients that connect are taken; those that wait in the kernel meanwhile stay there. `close`:
  // never again.
  enum class Accepting : uint8_t { kYes, kNo, kClose };
  void set_accepting(Accepting how, std::shared_ptr<Survey<char>> done);
  void adopt_client(os::UniqueFd client);                        // any thread: as if it had been accepted
  void list_clients(std::shared_ptr<Survey<ClientRow>> survey);  // any thread
  const std::vector<os::UniqueFd>& listeners() const { return listeners_; }
  void run(std::function<void(ReactorContext&)> action);  // any thread: on the reactor's own
  void stop();                                            // any thread but its own: tells clients, ends, waits
  const ReactorStats& stats() const { return context_.stats; }

  void on_events(uint32_t events) override;  // somebody wants to connect

 private:
  Reactor(unsigned index, std::unique_ptr<net::EventLoop> loop, std::vector<os::UniqueFd> listeners,
          const Shared& shared, TopologyPtr topology);
  void tick();
  void listen();
  void stop_listening();
  bool accept_from(int listener);
  void take(os::UniqueFd client);
  bool make_room();
  void forget_logged_in();
  using Ids = std::shared_ptr<const std::vector<uint64_t>>;
  void list_some(const Ids& ids, size_t from, std::vector<ClientRow> rows, std::shared_ptr<Survey<ClientRow>> survey);
  void shut_down();

  std::unique_ptr<net::EventLoop> loop_;
  std::vector<os::UniqueFd> listeners_;
  bool listening_ = false;
  bool accepting_ = true;
  ReactorContext context_;
  Pools pools_;
  Router router_;
  unsigned ticks_ = 0;
  uint64_t next_id_ = 1;
  std::vector<std::unique_ptr<Server>> graves_;
  std::unordered_map<uint64_t, std::unique_ptr<Session>> sessions_;
  struct Newcomer {
    uint64_t id;
    int64_t came_ns;
  };
  std::deque<Newcomer> newcomers_;  // the oldest first; those behind it may be gone, or logged in
  pthread_t thread_ = {};
  bool running_ = false;
};

}  // namespace pgb::proxy
