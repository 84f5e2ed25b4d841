// The numbers that all threads are asked for together, and what they said lately: while threads have very much to do,
// nobody who only looks waits for his turn.
#pragma once

#include <algorithm>
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
  std::vector<VerdictRow> verdicts;
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

  // Whether there is much to do.
  bool note(const SurveyPtr& begun, uint64_t transactions) {
    const auto now = Clock::now();
    const std::lock_guard lock(mutex_);
    prune(now);
    recent_.push_back(begun);
    if (now - sampled_ < kSample) return busy_;
    const double seconds = std::chrono::duration<double>(now - sampled_).count();
    busy_ = static_cast<double>(transactions - sample_) / seconds > kMuch;
    sampled_ = now;
    sample_ = transactions;
    return busy_;
  }
  SurveyPtr newest_complete() {
    const std::lock_guard lock(mutex_);
    return prune(Clock::now());
  }
  // mutex_ is held. Forgets what is too old, and what is older than the newest complete one, which it returns.
  SurveyPtr prune(Clock::time_point now) {
    std::erase_if(recent_, [now](const SurveyPtr& one) { return now - one->begun() > kFresh; });
    const auto newest = std::find_if(recent_.rbegin(), recent_.rend(),
                                     [](const SurveyPtr& one) { return one->complete_within(Millis(0)); });
    if (newest == recent_.rend()) return nullptr;
    recent_.erase(recent_.begin(), std::prev(newest.base()));
    return recent_.front();
  }

  std::mutex mutex_;
  std::deque<SurveyPtr>
      recent_;  // in the order in which they were begun, about; guarded by mutex_, like all that follows
  Clock::time_point sampled_{};
  uint64_t sample_ = 0;
  bool busy_ = false;
};

}  // namespace pgb::proxy
