#include "dcs/local_store.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>

#include "base/log.h"
#include "dcs/core.h"
#include "dcs/journal.h"

namespace pgb::dcs {
namespace {

constexpr uint64_t kRewriteAt = 4u << 20;  // bytes of log, and three times what it held when it was last rewritten
constexpr auto kRetryExpiry = std::chrono::seconds(1);

// Two locks: writing_ makes one writer at a time plan, log and apply; state_ is only held for moments, so that
// keep-alives and reads never wait for the disk.
class Store final : public LocalStore {
 public:
  Store(Clock clock, Core core, std::optional<Journal> journal)
      : clock_(std::move(clock)), core_(std::move(core)), journal_(std::move(journal)) {
    rewritten_size_ = journal_ ? journal_->size() : 0;
    if (clock_) return;
    clock_ = [] { return std::chrono::steady_clock::now(); };
    expiry_ = std::thread([this] { expire_until_stopped(); });
  }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store() override {
    {
      const std::lock_guard state(state_);
      stopping_ = true;
    }
    leases_changed_.notify_all();
    if (expiry_.joinable()) expiry_.join();
  }

  Result<Snapshot> range(const Range& range, Deadline) override {
    end_leases_by_clock();
    const std::lock_guard state(state_);
    return core_.range(range);
  }

  Result<Revision> put(const std::string& key, const std::string& value, LeaseId lease, Deadline deadline) override {
    auto done = txn({{}, {Op::put(key, value, lease)}, {}}, deadline);
    if (!done) return std::move(done).error();
    return done->revision;
  }

  Result<TxnResult> txn(const Txn& txn, Deadline) override {
    end_leases_by_clock();
    const std::lock_guard writer(writing_);
    auto plan = planned([&] { return core_.plan(txn); });
    if (!plan) return std::move(plan).error();
    if (plan->changes()) PGB_TRY(commit(plan->change));
    return std::move(plan->result);
  }

  Result<Lease> grant(std::chrono::seconds ttl, Deadline) override {
    end_leases_by_clock();
    const std::lock_guard writer(writing_);
    auto change = planned([&] { return core_.plan_grant(ttl); });
    if (!change) return std::move(change).error();
    PGB_TRY(commit(*change));
    return change->granted.front();
  }

  Result<std::chrono::seconds> keep_alive(LeaseId lease, Deadline) override {
    end_leases_by_clock();
    const std::lock_guard state(state_);
    return core_.renew(lease, clock_());
  }

  Status revoke(LeaseId lease, Deadline) override {
    end_leases_by_clock();
    const std::lock_guard writer(writing_);
    auto change = planned([&] { return core_.plan_revoke(lease); });
    if (!change) return std::move(change).error();
    return commit(*change);
  }

  Result<LeaseInfo> time_to_live(LeaseId lease, Deadline) override {
    end_leases_by_clock();
    const std::lock_guard state(state_);
    return core_.lease(lease, clock_());
  }

  Status watch(const std::string& prefix, Revision from, Deadline deadline, Canceller* canceller,
               const std::function<bool(const Changes&)>& on_changes) override {
    if (from == 0) from = revision() + 1;
    for (;;) {
      auto changes = next_changes(prefix, from, deadline, canceller);
      if (!changes) return std::move(changes).error();
      if (canceller != nullptr && canceller->cancelled()) return Error(Code::kInterrupted, "the watch was cancelled");
      if (!changes->events.empty() && !on_changes(*changes)) return Status();
      if (deadline.expired()) return Status();
      from = changes->revision + 1;
    }
  }

  Result<Changes> next_changes(const std::string& prefix, Revision from, Deadline deadline,
                               Canceller* canceller) override {
    bool cancelled = false;  // guarded by state_ while the hook lives
    const Canceller::Hook hook(canceller, [this, &cancelled] {
      const std::lock_guard state(state_);
      cancelled = true;
      changed_.notify_all();
    });
    const bool cancelled_before = canceller != nullptr && canceller->cancelled();
    std::unique_lock state(state_);
    if (from == 0) from = core_.revision() + 1;
    for (;;) {
      auto changes = core_.changes(prefix, from);
      const bool over = cancelled || cancelled_before || deadline.expired();
      if (!changes || !changes->events.empty() || over) return changes;
      changed_.wait_for(state, deadline.remaining());
    }
  }

  Revision revision() const override {
    const std::lock_guard state(state_);
    return core_.revision();
  }

  void tick() override {
    {
      const std::lock_guard state(state_);
      if (!core_.is_expired(clock_())) return;
    }
    (void)expire();
  }

 private:
  template <class Plan>
  std::invoke_result_t<Plan> planned(Plan plan) {
    const std::lock_guard state(state_);
    return plan();
  }

  // With the machine's clock it is the thread's work, which may have to wait for the disk.
  void end_leases_by_clock() {
    if (!expiry_.joinable()) tick();
  }

  // With writing_ held.
  Status commit(const Change& change) {
    PGB_TRY(write_down(change));
    {
      const std::lock_guard state(state_);
      core_.apply(change, clock_());
    }
    changed_.notify_all();
    leases_changed_.notify_all();
    return Status();
  }

  Status write_down(const Change& change) {
    if (!journal_) return Status();
    if (journal_->broken() || (journal_->size() > kRewriteAt && journal_->size() > 3 * rewritten_size_)) {
      const std::string whole = encode(planned([this] { return core_.whole(); }));
      const Status rewritten = journal_->rewrite(whole);
      if (rewritten.ok()) rewritten_size_ = journal_->size();
      if (!rewritten.ok() && journal_->broken()) return rewritten;
    }
    return journal_->append(encode(change));
  }

  Status expire() {
    const std::lock_guard writer(writing_);
    const Change change = planned([this] { return core_.plan_expiry(clock_()); });
    return change.ended.empty() ? Status() : commit(change);
  }

  void expire_until_stopped() {
    std::unique_lock state(state_);
    while (!stopping_) {
      const Core::Time next = core_.next_expiry();
      if (next > clock_()) {
        leases_changed_.wait_until(state, std::min(next, clock_() + std::chrono::hours(1)));
        continue;
      }
      state.unlock();
      const Status done = expire();
      if (!done.ok()) log::error("leases that have run out cannot be ended: " + done.error().message);
      state.lock();
      if (!done.ok()) leases_changed_.wait_for(state, kRetryExpiry);
    }
  }

  Clock clock_;
  std::mutex writing_;  // taken before state_
  mutable std::mutex state_;
  std::condition_variable changed_;
  std::condition_variable leases_changed_;
  Core core_;                       // guarded by state_; changed only with writing_ held, too, but for renewals
  std::optional<Journal> journal_;  // guarded by writing_
  uint64_t rewritten_size_ = 0;     // guarded by writing_
  bool stopping_ = false;
  std::thread expiry_;
};

}  // namespace

std::unique_ptr<LocalStore> LocalStore::in_memory(Clock clock) {
  return std::make_unique<Store>(std::move(clock), Core(), std::nullopt);
}

Result<std::unique_ptr<LocalStore>> LocalStore::open(const std::string& directory) {
  Core core;
  const auto now = std::chrono::steady_clock::now();
  auto journal = Journal::open(directory, [&](std::string_view record) -> Status {
    const auto change = decode(record);
    if (!change) return Error(Code::kIo, "a record of the lease log cannot be understood: another version wrote it");
    core.apply(*change, now);
    return Status();
  });
  if (!journal) return std::move(journal).error();
  core.renew_all(std::chrono::steady_clock::now());
  return std::unique_ptr<LocalStore>(new Store(nullptr, std::move(core), std::move(*journal)));
}

}  // namespace pgb::dcs
