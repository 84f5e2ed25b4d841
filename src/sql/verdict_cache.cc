#include "sql/verdict_cache.h"

#include "sql/classify.h"
#include "sql/normalize.h"

namespace pgb::sql {
namespace {

constexpr size_t kMaxKey = 16 * 1024;
constexpr size_t kEntryBytes = sizeof(VerdictCache::Entry) + 200;  // and what hangs on it, by and large

}  // namespace

VerdictCache::Entry* VerdictCache::find(std::string_view key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  if (found->second != entries_.begin()) entries_.splice(entries_.begin(), entries_, found->second);
  return &*found->second;
}

const VerdictCache::Entry& VerdictCache::get(std::string_view text, const Catalog* catalog) {
  Entry* entry = nullptr;
  if (text.size() > kMaxKey) {
    uncached_ = Entry{{}, classify(text), {}, 0};
    entry = &uncached_;
    ++misses_;
  } else {
    const bool shared = normalize(text, key_);
    entry = find(key_);
    if (entry != nullptr && entry->verdict.needs_text && shared) entry = find(text);
    if (entry != nullptr) {
      ++hits_;
    } else {
      ++misses_;
      Verdict verdict = classify(text);
      // The shared key leads to the knowledge that one must look at the text.
      if (verdict.needs_text && shared) remember(key_, verdict);
      entry = &remember(verdict.needs_text ? std::string(text) : key_, std::move(verdict));
    }
  }
  const uint64_t version = catalog == nullptr ? 1 : catalog->version() + 2;
  if (entry->decided_for != version) {
    entry->decision = decide(entry->verdict, catalog);
    entry->decided_for = version;
  }
  return *entry;
}

VerdictCache::Entry& VerdictCache::remember(std::string key, Verdict verdict) {
  if (Entry* known = find(key)) return *known;
  while (!entries_.empty() && (entries_.size() >= max_entries_ || bytes_ > max_bytes_)) {
    bytes_ -= entries_.back().key.size() + kEntryBytes;
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
  entries_.push_front({std::move(key), std::move(verdict), {}, 0});
  bytes_ += entries_.front().key.size() + kEntryBytes;
  by_key_.emplace(entries_.front().key, entries_.begin());
  return entries_.front();
}

}  // namespace pgb::sql
