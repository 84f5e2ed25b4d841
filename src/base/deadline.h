// An absolute point in monotonic time that is handed down to whatever may wait.
#pragma once

#include <algorithm>
#include <chrono>

namespace pgb {

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  static Deadline after(std::chrono::milliseconds wait) { return after(wait, Clock::now()); }
  static Deadline after(std::chrono::milliseconds wait, Clock::time_point now) { return Deadline(now + wait); }
  static Deadline never() { return Deadline(Clock::time_point::max()); }

  bool expired() const { return Clock::now() >= at_; }
  bool is_never() const { return at_ == Clock::time_point::max(); }

  // Time left, never negative; a day for never().
  std::chrono::milliseconds remaining() const {
    if (is_never()) return std::chrono::hours(24);
    auto left = std::chrono::ceil<std::chrono::milliseconds>(at_ - Clock::now());
    return std::max(left, std::chrono::milliseconds(0));
  }

  // For poll(2): -1 waits for ever.
  int poll_ms() const { return is_never() ? -1 : static_cast<int>(std::min<long long>(remaining().count(), 1 << 30)); }

  // The earlier of this and now + wait.
  Deadline sooner(std::chrono::milliseconds wait) const { return Deadline(std::min(at_, Clock::now() + wait)); }

 private:
  explicit Deadline(Clock::time_point at) : at_(at) {}
  Clock::time_point at_;
};

}  // namespace pgb
