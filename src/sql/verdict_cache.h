// Verdicts and decisions by statement text, for one thread and one database. On a hit nothing is parsed and nothing
// is allocated.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "sql/decision.h"

namespace pgb::sql {

class VerdictCache {
 public:
  struct Entry {
    std::string key;
    Verdict verdict;
    Decision decision;
    uint64_t decided_for = 0;  // the catalogue's version
  };

  explicit VerdictCache(size_t max_entries = 10'000, size_t max_bytes = 8u << 20)
      : max_entries_(max_entries), max_bytes_(max_bytes) {}

  // Valid until the next call. `catalog` may be null.
  const Entry& get(std::string_view text, const Catalog* catalog);
  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }
  size_t size() const { return by_key_.size(); }

 private:
  using Order = std::list<Entry>;

  Entry& remember(std::string key, Verdict verdict);
  Entry* find(std::string_view key);

  const size_t max_entries_, max_bytes_;
  size_t bytes_ = 0;
  uint64_t hits_ = 0, misses_ = 0;
  std::string key_;  // scratch
  Entry uncached_;   // of a text too long to be kept
  Order entries_;    // the one used last is the first
  std::unordered_map<std::string_view, Order::iterator> by_key_;
};

}  // namespace pgb::sql
