// Collects rows from all reactors, each of which adds its own on its own thread when it comes round to it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <iterator>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace pgb::proxy {

template <class Row>
class Survey {
 public:
  explicit Survey(size_t parts) : missing_(parts) {}

  void add(std::vector<Row> rows) {
    const std::lock_guard lock(mutex_);
    rows_.insert(rows_.end(), std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
    if (--missing_ == 0) complete_.notify_all();
  }
  // Whether all have come, at the end of that time at the latest.
  bool complete_within(std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    return complete_.wait_for(lock, limit, [this] { return missing_ == 0; });
  }
  std::vector<Row> rows() const {  // those that have come so far; wait() takes them away
    const std::lock_guard lock(mutex_);
    return rows_;
  }
  // All rows, or, of a proxy that ends meanwhile, those that came in time.
  std::vector<Row> wait() {
    constexpr std::chrono::seconds kPatience{5};
    std::unique_lock lock(mutex_);
    complete_.wait_for(lock, kPatience, [this] { return missing_ == 0; });
    return std::exchange(rows_, {});
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable complete_;
  size_t missing_;
  std::vector<Row> rows_;
};

}  // namespace pgb::proxy
