#include "sql/verdict_cache.h"

#include <algorithm>
#include <cstring>

#include "sql/classify.h"
#include "sql/normalize.h"

namespace pgb::sql {
namespace {

constexpr size_t kMaxKey = 16 * 1024;
constexpr size_t kMaxScratch = 1024 * 1024;  // that is kept for the next text

size_t weight(const VerdictCache::Entry& entry) {
  const Verdict& verdict = entry.verdict;
  size_t sum = sizeof(entry) + 100 + entry.key.size() + verdict.reason.size() * 2;
  for (const auto* names : {&verdict.functions, &verdict.operators, &verdict.relations, &verdict.types,
                            &verdict.attributes, &verdict.written}) {
    for (const std::string& name : *names) sum += sizeof(name) + name.size();
  }
  for (const Effect& effect : verdict.effects) sum += sizeof(effect) + effect.name.size() + effect.value.size();
  return sum;
}

}  // namespace

VerdictCache::Entry* VerdictCache::find(const Key& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  if (found->second != entries_.begin()) entries_.splice(entries_.begin(), entries_, found->second);
  return &*found->second;
}

void VerdictCache::clear() {
  recent_ = {};
  by_key_.clear();
  entries_.clear();
  bytes_ = 0;
}

VerdictCache::Entry* VerdictCache::look_up(std::string_view text, bool shared) {
  if (key_.size() > kMaxKey) return nullptr;
  Entry* entry = find({key_, !shared});
  if (!shared || (entry != nullptr && !entry->verdict.needs_text)) return entry;
  return text.size() > kMaxKey ? nullptr : find({text, true});
}

// Chosen by the length and a few bytes: cheaper than a hash, for what is compared anyway.
VerdictCache::Recent& VerdictCache::recent(std::string_view text) {
  uint64_t mix = text.size();
  for (const size_t at : {text.size() / 2, text.size()}) {
    uint64_t word = 0;
    if (at >= sizeof word) std::memcpy(&word, text.data() + at - sizeof word, sizeof word);
    mix = (mix ^ word) * 0x9e3779b97f4a7c15u;
  }
  return recent_[mix >> 58];
}

VerdictCache::Entry& VerdictCache::look_into(std::string_view text) {
  const bool shared = normalize_for_cache(text, key_);
  Entry* entry = look_up(text, shared);
  ++(entry == nullptr ? misses_ : hits_);
  return entry == nullptr ? learn(text, shared) : *entry;
}

const VerdictCache::Entry& VerdictCache::get(std::string_view text, const Catalog* catalog) {
  Recent& last = recent(text);
  Entry* entry = nullptr;
  if (last.known && last.text == text) {
    entry = &*last.entry;
    if (last.entry != entries_.begin()) entries_.splice(entries_.begin(), entries_, last.entry);
    ++hits_;
  } else {
    entry = &look_into(text);
    last.known = text.size() <= kLongestRecent && entry != &uncached_;
    if (last.known) {
      last.text.assign(text);
      last.entry = entries_.begin();  // where what was used last stands
    }
  }
  const uint64_t version = catalog == nullptr ? 1 : catalog->version() + 2;
  if (entry->decided_for != version) {
    entry->decision = decide(entry->verdict, catalog);
    entry->decided_for = version;
  }
  return *entry;
}

VerdictCache::Entry& VerdictCache::learn(std::string_view text, bool shared) {
  const bool long_text = shared && text.size() >= kLongText;
  if (long_text) normalize_for_cache(text, key_, &reduced_);
  Verdict verdict = classify(long_text ? std::string_view(reduced_) : text);
  if (long_text && verdict.needs_text) verdict = classify(text);
  if (reduced_.capacity() > kMaxScratch) std::string().swap(reduced_);
  // What does not parse is kept by its own text: another of this shape may parse.
  const bool exact = !shared || verdict.needs_text || !verdict.parsed;
  const std::string_view key = exact ? text : std::string_view(key_);
  if (key.size() > kMaxKey) {
    uncached_ = Entry{{}, false, std::move(verdict), {}, 0};
    return uncached_;
  }
  // The shared key leads to the knowledge that one must look at the text.
  if (verdict.needs_text && shared && key_.size() <= kMaxKey) remember(key_, false, verdict);
  return remember(key, exact, std::move(verdict));
}

VerdictCache::Entry& VerdictCache::remember(std::string_view key, bool exact, Verdict verdict) {
  if (Entry* known = find({key, exact})) return *known;
  while (!entries_.empty() && (entries_.size() >= max_entries_ || bytes_ > max_bytes_)) {
    const Entry& last = entries_.back();
    for (Recent& one : recent_) one.known = one.known && &*one.entry != &last;
    bytes_ -= weight(last);
    by_key_.erase({last.key, last.exact});
    entries_.pop_back();
  }
  entries_.push_front({std::string(key), exact, std::move(verdict), {}, 0});
  Entry& made = entries_.front();
  bytes_ += weight(made);
  by_key_.emplace(Key{made.key, exact}, entries_.begin());
  return made;
}

}  // namespace pgb::sql
