// One thread's epoll loop: sockets, timers, and work handed over by other threads.
// Everything but post() and stop() belongs to the thread that calls run().
#pragma once

#include <sys/epoll.h>

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
#include "os/unique_fd.h"

namespace pgb::net {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Watch = uint64_t;  // 0 is none
  using Timer = uint64_t;  // 0 is none
  using OnEvents = std::function<void(uint32_t events)>;

  // kIo when the kernel has no descriptors left.
  static Result<std::unique_ptr<EventLoop>> create();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Calls `on_events` with EPOLLIN, EPOLLOUT … (level triggered) until unwatch(). The descriptor
  // stays the caller's and must outlive the watch. 0 if the kernel refuses.
  Watch watch(int fd, uint32_t events, OnEvents on_events);
  void change(Watch watch, uint32_t events);
  // After this no more calls come, also none that were already reported by the kernel.
  void unwatch(Watch watch);

  Timer after(std::chrono::milliseconds wait, std::function<void()> action);
  void cancel(Timer timer);  // one that has fired or 0 is no mistake

  // Any thread: runs `action` soon on the loop's thread.
  void post(std::function<void()> action);
  // Any thread: run() returns after the round in progress. Posted work that was not run is dropped.
  void stop();

  void run();

 private:
  struct Entry {
    int fd;
    uint32_t events;
    std::shared_ptr<OnEvents> on_events;  // shared: a callback may unwatch itself
  };
  using Due = std::pair<Clock::time_point, Timer>;

  EventLoop(os::UniqueFd epoll, os::UniqueFd wake) : epoll_(std::move(epoll)), wake_(std::move(wake)) {}
  int wait_ms() const;
  void run_timers();
  void run_posted();

  os::UniqueFd epoll_;
  os::UniqueFd wake_;
  std::atomic<bool> stopped_{false};
  uint64_t next_id_ = 1;
  std::unordered_map<Watch, Entry> watches_;
  std::map<Due, std::function<void()>> timers_;
  std::unordered_map<Timer, Clock::time_point> due_;
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
};

}  // namespace pgb::net
