// Whom a cancel request means: our own process numbers and keys, given to clients, and the session behind each.
// Shared by all reactors.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/result.h"

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

 private:
  struct Entry {
    std::string key;
    Target target;
  };
  mutable std::mutex mutex_;
  uint32_t next_pid_ = 1;
  std::unordered_map<uint32_t, Entry> entries_;
};

}  // namespace pgb::proxy
