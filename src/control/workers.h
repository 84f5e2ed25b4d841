// A few threads for work that may wait, started as they are needed.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace pgb::control {

class Workers {
 public:
  explicit Workers(size_t most) : most_(most) {}
  ~Workers() { stop(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Any thread. False: all are busy, or it was stopped; then the work is not done.
  bool run(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    if (stopped_ || busy_ == most_) return false;
    ++busy_;
    waiting_.push_back(std::move(work));
    if (threads_.size() < busy_) threads_.emplace_back([this] { serve(); });
    wake_.notify_one();
    return true;
  }
  // Waits for the work under way.
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      const std::function<void()> work = std::move(waiting_.back());
      waiting_.pop_back();
      lock.unlock();
      work();
      lock.lock();
      --busy_;
    }
  }

  const size_t most_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::function<void()>> waiting_;  // guarded by mutex_, like the next two
  size_t busy_ = 0;                             // work that is done or waits for a thread
  bool stopped_ = false;
  std::vector<std::thread> threads_;  // grows under mutex_; joined when nothing can start any more
};

}  // namespace pgb::control
