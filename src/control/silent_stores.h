// Lease stores for tests that do not answer, or not at once.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "dcs/dcs.h"

namespace pgb::control {

// As etcd behind a broken line.
class SilentStore : public dcs::Dcs {
 public:
  Result<dcs::Snapshot> range(const dcs::Range&, Deadline deadline) override { return wait(deadline); }
  Result<dcs::Revision> put(const std::string&, const std::string&, dcs::LeaseId, Deadline deadline) override {
    return wait(deadline);
  }
  Result<dcs::TxnResult> txn(const dcs::Txn&, Deadline deadline) override { return wait(deadline); }
  Result<dcs::Lease> grant(std::chrono::seconds, Deadline deadline) override { return wait(deadline); }
  Result<std::chrono::seconds> keep_alive(dcs::LeaseId, Deadline deadline) override { return wait(deadline); }
  Status revoke(dcs::LeaseId, Deadline deadline) override { return wait(deadline); }
  Result<dcs::LeaseInfo> time_to_live(dcs::LeaseId, Deadline deadline) override { return wait(deadline); }
  Status watch(const std::string&, dcs::Revision, Deadline deadline, Canceller*,
               const std::function<bool(const dcs::Changes&)>&) override {
    return wait(deadline);
  }

 private:
  static Error wait(Deadline deadline) {
    while (!deadline.expired()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return Error(Code::kTimeout, "nobody answers");
  }
};

// Keeps whoever asks waiting while it is held.
class SlowStore : public SilentStore {
 public:
  explicit SlowStore(dcs::Dcs& behind) : behind_(behind) {}
  Result<dcs::Snapshot> range(const dcs::Range& range, Deadline deadline) override {
    if (range.key.find("/history") != std::string::npos) {
      history_ms_ = std::max<int64_t>(history_ms_, deadline.remaining().count());
    }
    ++asked_;
    while (held_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return behind_.range(range, deadline);
  }
  Result<dcs::TxnResult> txn(const dcs::Txn& txn, Deadline deadline) override {
    ++asked_;
    while (held_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return behind_.txn(txn, deadline);
  }
  void hold(bool on) { held_ = on; }
  int asked() const { return asked_; }                // how often it was
  int64_t history_ms() const { return history_ms_; }  // the most that anybody would have waited for the history

 private:
  dcs::Dcs& behind_;
  std::atomic<bool> held_{false};
  std::atomic<int> asked_{0};
  std::atomic<int64_t> history_ms_{0};
};

}  // namespace pgb::control
