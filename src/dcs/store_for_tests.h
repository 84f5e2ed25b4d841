// For tests: a store in memory, and something that happens between it and whoever asks.
#pragma once

#include <functional>
#include <memory>

#include "dcs/local_store.h"

namespace pgb::dcs {

class StoreForTests final : public Dcs {
 public:
  // Before each range() and txn(), with how many there have been, this one counted.
  std::function<void(int)> before = [](int) {};
  enum class Loses { kNothing, kQuestions, kAnswers } loses = Loses::kNothing;  // of transactions that write

  LocalStore& inner() { return *store_; }

  Result<Snapshot> range(const Range& range, Deadline deadline) override {
    before(++asked_);
    return store_->range(range, deadline);
  }
  Result<Revision> put(const std::string& key, const std::string& value, LeaseId lease, Deadline deadline) override {
    return store_->put(key, value, lease, deadline);
  }
  Result<TxnResult> txn(const Txn& txn, Deadline deadline) override {
    before(++asked_);
    bool writes = false;
    for (const Op& op : txn.then) writes = writes || op.kind != Op::Kind::kGet;
    if (!writes || loses == Loses::kNothing) return store_->txn(txn, deadline);
    if (loses == Loses::kAnswers) (void)store_->txn(txn, deadline);
    return Error(Code::kInDoubt, "the answer did not come");
  }
  Result<Lease> grant(std::chrono::seconds ttl, Deadline deadline) override { return store_->grant(ttl, deadline); }
  Result<std::chrono::seconds> keep_alive(LeaseId lease, Deadline deadline) override {
    return store_->keep_alive(lease, deadline);
  }
  Status revoke(LeaseId lease, Deadline deadline) override { return store_->revoke(lease, deadline); }
  Result<LeaseInfo> time_to_live(LeaseId lease, Deadline deadline) override {
    return store_->time_to_live(lease, deadline);
  }
  Status watch(const std::string& prefix, Revision from, Deadline deadline, Canceller* canceller,
               const std::function<bool(const Changes&)>& on_changes) override {
    return store_->watch(prefix, from, deadline, canceller, on_changes);
  }

 private:
  const std::unique_ptr<LocalStore> store_ = LocalStore::in_memory();
  int asked_ = 0;
};

}  // namespace pgb::dcs
