// Verdicts and decisions by statement text, for one thread and one database. On a hit nothing is parsed and nothing
// is allocated.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
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
    bool exact = false;  // `key` is a text, not the normal form of many
    Verdict verdict;
    Decision decision;
    uint64_t decided_for = 0;  // the catalogue's version + 2; 1: without a catalogue
  };

  // `max_bytes` is kept to by and large: keys and names are counted, the allocator's overhead is guessed.
  explicit VerdictCache(size_t max_entries = 10'000, size_t max_bytes = 8u << 20)
      : max_entries_(max_entries), max_bytes_(max_bytes) {}

  // Valid until the next call. `catalog` may be null; the decision is made anew when its version is another.
  // standard_conforming_strings must be on.
  const Entry& get(std::string_view text, const Catalog* catalog);
  void clear();  // hits and misses stay
  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }
  size_t size() const { return by_key_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  using Order = std::list<Entry>;
  // A text that came lately, as it came: applications that prepare their statements send few, again and again.
  struct Recent {
    std::string text;
    Order::iterator entry;
    bool known = false;
  };
  static constexpr size_t kRecent = 64, kLongestRecent = 512;
  struct Key {
    std::string_view text;
    bool exact;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const { return std::hash<std::string_view>()(key.text) ^ (key.exact ? 1 : 0); }
  };

  Recent& recent(std::string_view text);
  Entry& look_into(std::string_view text);
  Entry* look_up(std::string_view text, bool shared);
  Entry* find(const Key& key);
  Entry& learn(std::string_view text, bool shared);
  Entry& remember(std::string_view key, bool exact, Verdict verdict);

  const size_t max_entries_, max_bytes_;
  size_t bytes_ = 0;
  uint64_t hits_ = 0, misses_ = 0;
  std::string key_, reduced_;  // scratch
  Entry uncached_;             // of a text too long to be kept
  Order entries_;              // the one used last is the first
  std::unordered_map<Key, Order::iterator, Hash> by_key_;
  std::array<Recent, kRecent> recent_;
};

}  // namespace pgb::sql
