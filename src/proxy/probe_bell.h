// Wakes the health monitor before its time: something happened of which its last look at the servers cannot know. One
// for the proxy and the monitor. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

namespace pgb::proxy {

class ProbeBell {
 public:
  using Clock = std::chrono::steady_clock;

  // Probes sent before `now_ns` (steady clock) are out of date. Two loads and a store, unless a monitor sleeps.
  void ring(int64_t now_ns) {
    rung_ns_.store(now_ns);
    if (sleepers_.load() > 0) wake();
  }
  int64_t rung_ns() const { return rung_ns_.load(); }

  // Sleeps until `until`, or until it rings later than `since_ns`, or until `stop` is set and wake() called.
  void sleep(Clock::time_point until, int64_t since_ns, const std::atomic<bool>& stop) {
    std::unique_lock lock(mutex_);
    ++sleepers_;  // before the look at rung_ns_: who rings after that look sees a sleeper
    rings_.wait_until(lock, until, [&] { return stop.load() || rung_ns_.load() > since_ns; });
    --sleepers_;
  }
  void wake() {
    { const std::lock_guard lock(mutex_); }
    rings_.notify_all();
  }

 private:
  std::atomic<int64_t> rung_ns_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable rings_;
};

using ProbeBellPtr = std::shared_ptr<ProbeBell>;

}  // namespace pgb::proxy
