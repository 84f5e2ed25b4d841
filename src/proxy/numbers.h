// The numbers that all threads are asked for together, and what they said lately: while threads have very much to do,
// nobody who only looks waits for his turn.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <iterator>
#include <memory>
#include <mutex>
#include <vector>

#include "proxy/admin.h"
#include "proxy/survey.h"

namespace pgb::proxy {

struct Numbers {  // of one thread
  std::vector<PoolRow> pools;
  std::vector<RouteRow> routes;
  std::vector<TrafficRow> traffic;
  std::vector<LatencyRow> latencies;
};

class NumbersBoard {
 public:
  using Clock = std::chrono::steady_clock;
  using SurveyPtr = std::shared_ptr<Survey<Numbers>>;

  // A survey that was just begun, and how many transactions there were up to now. Returns a complete one: this, as soon
  // as it is, unless there is much to do and another one of the last second is complete already. Any thread.
  SurveyPtr await(const SurveyPtr& begun, uint64_t transactions) {
    const bool busy = note(begun, transactions);
    if (begun->complete_within(busy ? kBriefly : kPatience)) return begun;
    if (const SurveyPtr lately = newest_complete()) return lately;
    begun->complete_within(kPatience);
    return begun;  // of a proxy that ends, perhaps with less than all
  }

 private:
  using Millis = std::chrono::milliseconds;
  static constexpr Millis kBriefly{2}, kPatience{5000}, kFresh{1200}, kSample{100};
  static constexpr double kMuch = 2000;  // transactions a second

  struct Begun {
    Clock::time_point at;
    SurveyPtr survey;
  };

  // Whether there is much to do.
  bool note(const SurveyPtr& begun, uint64_t transactions) {
    const auto now = Clock::now();
    const std::lock_guard lock(mutex_);
    while (!recent_.empty() && now - recent_.front().at > kFresh) recent_.pop_front();
    recent_.push_back({now, begun});
    if (now - sampled_ < kSample) return busy_;
    const double seconds = std::chrono::duration<double>(now - sampled_).count();
    busy_ = static_cast<double>(transactions - sample_) / seconds > kMuch;
    sampled_ = now;
    sample_ = transactions;
    return busy_;
  }
  SurveyPtr newest_complete() {
    const std::lock_guard lock(mutex_);
    for (auto begun = recent_.rbegin(); begun != recent_.rend(); ++begun) {
      if (!begun->survey->complete_within(Millis(0))) continue;
      const SurveyPtr newest = begun->survey;
      recent_.erase(recent_.begin(), std::prev(begun.base()));  // what is older is of no use any more
      return newest;
    }
    return nullptr;
  }

  std::mutex mutex_;
  std::deque<Begun> recent_;  // guarded by mutex_, like all that follows
  Clock::time_point sampled_{};
  uint64_t sample_ = 0;
  bool busy_ = false;
};

}  // namespace pgb::proxy
