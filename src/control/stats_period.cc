#include "control/stats_period.h"

#include <utility>

namespace pgb::control {

TrafficByDatabase by_database(const std::vector<proxy::TrafficRow>& rows) {
  TrafficByDatabase sums;
  for (const proxy::TrafficRow& row : rows) sums[row.database] += row.traffic;
  return sums;
}

StatsPeriod::StatsPeriod(const proxy::Admin& proxy, std::chrono::milliseconds period)
    : proxy_(proxy), period_(period), thread_([this] { run(); }) {}

StatsPeriod::~StatsPeriod() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

void StatsPeriod::run() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, period_, [this] { return stopped_; })) {
    lock.unlock();
    Look now;
    now.traffic = by_database(proxy_.traffic());
    lock.lock();
    older_ = std::exchange(newer_, std::move(now));
    full_ = true;
  }
}

StatsPeriod::Span StatsPeriod::last() const {
  {
    const std::lock_guard lock(mutex_);
    if (full_) return {std::chrono::duration<double>(newer_.at - older_.at).count(), older_.traffic, newer_.traffic};
  }
  Look now;
  now.traffic = by_database(proxy_.traffic());
  const std::lock_guard lock(mutex_);
  return {std::chrono::duration<double>(now.at - older_.at).count(), {}, std::move(now.traffic)};
}

}  // namespace pgb::control
