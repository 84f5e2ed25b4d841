// Whom a cancel request means: our own process numbers and keys, given to clients, and the session behind each.
// Shared by all reactors.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/result.h"
#include "os/unique_fd.h"

namespace pgb::proxy {

class CancelRegistry {
 public:
  struct Target {
    unsigned reactor = 0;
    uint64_t session = 0;
  };
  struct Ticket {
    uint32_t pid = 0;
    std::string key;  // 4 random bytes
  };

  // A fresh pid and key for the session `target`. kInternal if there is no randomness.
  Result<Ticket> add(Target target);
  void remove(uint32_t pid);
  // Nothing unless pid and key (compared in constant time) belong together.
  std::optional<Target> find(uint32_t pid, const std::string& key) const;

  // Whom to give one end of a socket pair when a request means no session of this process: the request comes through
  // it. False when there is nobody. Called with a lock held.
  using Elsewhere = std::function<bool(os::UniqueFd end)>;
  void set_elsewhere(Elsewhere give);
  bool give_elsewhere(os::UniqueFd end) const;

 private:
  struct Entry {
    std::string key;
    Target target;
  };
  mutable std::mutex mutex_;
  uint32_t next_pid_ = 1;
  std::unordered_map<uint32_t, Entry> entries_;
  Elsewhere elsewhere_;  // guarded by mutex_
};

}  // namespace pgb::proxy
