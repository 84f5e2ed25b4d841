// How many servers a pool may have over all reactor threads, and which thread has some to spare or lacks one.
// Thread-safe.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

namespace pgb::proxy {

inline constexpr unsigned kMaxReactors = 64;

// Of one pool: a database and user on one node.
struct Quota {
  explicit Quota(unsigned threads) : reactors(threads) {}
  const unsigned reactors;  // that there are, at most kMaxReactors
  std::atomic<unsigned> servers{0};
  std::array<std::atomic<unsigned>, kMaxReactors> idle{};    // on each thread
  std::array<std::atomic<int64_t>, kMaxReactors> waiting{};  // since when (ns), of each thread's oldest; 0: nobody

  bool take(unsigned limit) {
    unsigned now = servers.load();
    while (now < limit) {
      if (servers.compare_exchange_weak(now, now + 1)) return true;
    }
    return false;
  }
  void give_back() { --servers; }

  // Another thread with an idle server; -1: none.
  int spare(unsigned me) const {
    for (unsigned i = 0; i < reactors; ++i) {
      if (i != me && idle[i].load() > 0) return static_cast<int>(i);
    }
    return -1;
  }
  // Somebody has waited since that moment (ns) or longer.
  bool waits_since(int64_t moment) const {
    return std::any_of(waiting.begin(), waiting.begin() + reactors, [moment](const std::atomic<int64_t>& since) {
      const int64_t at = since.load();
      return at != 0 && at <= moment;
    });
  }
  // The other thread that has waited longest, and longer than `since` (ns; 0: any); -1: none.
  int neediest(unsigned me, int64_t since) const {
    int found = -1;
    int64_t oldest = since == 0 ? INT64_MAX : since;
    for (unsigned i = 0; i < reactors; ++i) {
      const int64_t at = waiting[i].load();
      if (i == me || at == 0 || at >= oldest) continue;
      oldest = at;
      found = static_cast<int>(i);
    }
    return found;
  }
};
using QuotaPtr = std::shared_ptr<Quota>;

class Quotas {
 public:
  void set_reactors(unsigned threads) { reactors_ = threads; }  // before the first of() of a thread
  QuotaPtr of(const std::string& node, const std::string& database, const std::string& user) {
    const std::lock_guard lock(mutex_);
    if (known_.size() >= forget_at_) {
      for (auto it = known_.begin(); it != known_.end();) it = it->second.expired() ? known_.erase(it) : std::next(it);
      forget_at_ = std::max<size_t>(kForgetAt, 2 * known_.size());
    }
    std::weak_ptr<Quota>& slot = known_[{node, database, user}];
    QuotaPtr quota = slot.lock();
    if (!quota) slot = quota = std::make_shared<Quota>(reactors_);
    return quota;
  }

 private:
  static constexpr size_t kForgetAt = 256;

  unsigned reactors_ = kMaxReactors;
  std::mutex mutex_;
  size_t forget_at_ = kForgetAt;                                                             // guarded by mutex_
  std::map<std::tuple<std::string, std::string, std::string>, std::weak_ptr<Quota>> known_;  // guarded by mutex_
};

}  // namespace pgb::proxy
