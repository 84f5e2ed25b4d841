// One thread's epoll loop: sockets, timers, and work handed over by other threads.
// Everything but post() and stop() belongs to the thread that calls run().
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "net/send_queue.h"
#include "os/unique_fd.h"

namespace pgb::net {

// What owns a descriptor and wants to hear of it. Called on the loop's thread.
class Pollable {
 public:
  virtual void on_events(uint32_t events) = 0;  // EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR

 protected:
  ~Pollable() = default;
};

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Timer = uint64_t;  // 0 is none

  // kIo when the kernel has no descriptors left. `io_uring`: use it where it saves system calls, if the kernel lets us.
  static Result<std::unique_ptr<EventLoop>> create(bool io_uring = true);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Calls target.on_events (level triggered) until remove(). The descriptor stays the caller's; it and the target
  // must outlive the watch. False if the kernel refuses.
  bool add(int fd, uint32_t events, Pollable& target);
  void modify(int fd, uint32_t events, Pollable& target);
  // After this no more calls come, also none that were already reported by the kernel.
  void remove(int fd, Pollable& target);

  // What is put there goes out before the loop waits again.
  SendQueue& send_queue() { return send_queue_; }

  Timer after(std::chrono::milliseconds wait, std::function<void()> action);
  void cancel(Timer timer);  // one that has fired or 0 is no mistake

  // Any thread: runs `action` soon on the loop's thread.
  void post(std::function<void()> action);
  // Any thread: run() returns after the round in progress. Posted work that was not run is dropped.
  void stop();

  void run();
  // The time at which the round in progress began: good enough for time-outs, and free.
  Clock::time_point now() const { return now_; }

 private:
  using Due = std::pair<Clock::time_point, Timer>;

  EventLoop(os::UniqueFd epoll, os::UniqueFd wake, bool io_uring)
      : epoll_(std::move(epoll)), wake_(std::move(wake)), send_queue_(io_uring) {}
  int wait_ms() const;
  void dispatch();
  void run_timers();
  void run_posted();

  os::UniqueFd epoll_;
  os::UniqueFd wake_;
  std::atomic<bool> stopped_{false};
  Clock::time_point now_ = Clock::now();
  SendQueue send_queue_;
  std::array<epoll_event, 256> events_;
  int count_ = 0;  // of events_ in the round in progress
  int next_ = 0;   // the first one not yet told
  uint64_t next_timer_ = 1;
  std::map<Due, std::function<void()>> timers_;
  std::unordered_map<Timer, Clock::time_point> due_;
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
  std::atomic<bool> has_posted_{false};
};

}  // namespace pgb::net
