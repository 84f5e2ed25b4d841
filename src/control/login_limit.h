// How often logins may be tried: who fails too often has to wait, and so has everyone while very many fail.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <string>

namespace pgb::control {

class LoginLimit {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Seconds = std::chrono::duration<double>;

  // Counts an attempt from that address. Zero: it may be made; else how long to wait until the next one may.
  Seconds attempt(const std::string& peer, Time now) {
    const std::lock_guard lock(mutex_);
    if (peers_.size() >= kMostPeers) forget_old(now);
    const auto found = peers_.try_emplace(peer, Bucket{kPeer.capacity, now}).first;
    const Seconds wait = std::max(found->second.wait(kPeer, now), all_.wait(kAll, now));
    if (wait > Seconds(0)) return wait;
    found->second.tokens -= 1;
    all_.tokens -= 1;
    return Seconds(0);
  }
  // The attempt was a good one: it costs nothing.
  void good(const std::string& peer) {
    const std::lock_guard lock(mutex_);
    const auto found = peers_.find(peer);
    if (found != peers_.end()) found->second.tokens = std::min(kPeer.capacity, found->second.tokens + 1);
    all_.tokens = std::min(kAll.capacity, all_.tokens + 1);
  }

 private:
  struct Measure {
    double capacity;    // attempts at once
    double per_second;  // that come back
  };
  static constexpr Measure kPeer{5, 0.2}, kAll{50, 5};
  static constexpr size_t kMostPeers = 4096;

  struct Bucket {
    double tokens;
    Time filled;
    Seconds wait(const Measure& measure, Time now) {
      tokens = std::min(measure.capacity, tokens + Seconds(now - filled).count() * measure.per_second);
      filled = now;
      return Seconds(tokens >= 1 ? 0 : (1 - tokens) / measure.per_second);
    }
  };

  // Those that have all their attempts again; if that is nobody, all, for the common measure still holds.
  void forget_old(Time now) {
    for (auto it = peers_.begin(); it != peers_.end();) {
      it->second.wait(kPeer, now);
      it = it->second.tokens >= kPeer.capacity ? peers_.erase(it) : std::next(it);
    }
    if (peers_.size() >= kMostPeers) peers_.clear();
  }

  std::mutex mutex_;
  std::map<std::string, Bucket> peers_;  // guarded by mutex_, like the next one
  Bucket all_{kAll.capacity, std::chrono::steady_clock::now()};
};

}  // namespace pgb::control
