// What the agent is doing, written by its main thread and read by the HTTP threads.
#pragma once

#include <mutex>
#include <string>

#include "base/log.h"

namespace pgb::agent {

class Progress {
 public:
  // Also logs the sentence. Thread-safe.
  void set(const std::string& phase, const std::string& detail) {
    {
      const std::lock_guard lock(mutex_);
      if (phase_ == phase && detail_ == detail) return;
      phase_ = phase;
      detail_ = detail;
    }
    const std::string text = phase + ": " + detail;
    phase == "failed" ? log::error(text) : log::info(text);
  }
  std::string phase() const {
    const std::lock_guard lock(mutex_);
    return phase_;
  }
  std::string detail() const {
    const std::lock_guard lock(mutex_);
    return detail_;
  }

 private:
  mutable std::mutex mutex_;
  std::string phase_ = "starting";
  std::string detail_;
};

}  // namespace pgb::agent
