// Ends a blocking call from another thread. One canceller serves one call after another; once cancelled it stays so.
#pragma once

#include <functional>
#include <mutex>
#include <utility>

namespace pgb {

class Canceller {
 public:
  Canceller() = default;
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;

  // Any thread; returns when whoever waits has been woken. A second call does nothing.
  void cancel() {
    const std::lock_guard lock(mutex_);
    if (std::exchange(cancelled_, true)) return;
    if (wake_) wake_();
  }

  bool cancelled() const {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }

  // For the call itself: while a Hook lives, cancel() runs `wake`, on its own thread. One at a time.
  class Hook {
   public:
    Hook(Canceller* canceller, std::function<void()> wake) : canceller_(canceller) { set(std::move(wake)); }
    Hook(const Hook&) = delete;
    Hook& operator=(const Hook&) = delete;
    ~Hook() { set(nullptr); }

   private:
    void set(std::function<void()> wake) {
      if (canceller_ == nullptr) return;
      const std::lock_guard lock(canceller_->mutex_);
      canceller_->wake_ = std::move(wake);
    }
    Canceller* canceller_;  // may be null
  };

 private:
  mutable std::mutex mutex_;
  bool cancelled_ = false;
  std::function<void()> wake_;
};

}  // namespace pgb
