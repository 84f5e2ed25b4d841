// One thread that does one thing at a time. It lives as long as the agent: a server started on it gets its
// parent-death signal when the agent ends, not before.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace pgb::agent {

class Worker {
 public:
  Worker() : thread_([this] { work(); }) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  // True if it was idle and has begun.
  bool start(std::function<void()> what) {
    {
      const std::lock_guard lock(mutex_);
      if (task_) return false;
      task_ = std::move(what);
    }
    changed_.notify_all();
    return true;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ends_ || task_; });
      if (!task_) return;
      lock.unlock();
      task_();
      lock.lock();
      task_ = nullptr;
      if (ends_) return;
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> task_;
  bool ends_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace pgb::agent
