// A queue that keeps its memory: once it has been as long as it gets, nothing is allocated any more.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace pgb::proxy {

template <class Entry>
class KeptQueue {
 public:
  bool empty() const { return head_ == entries_.size(); }
  size_t size() const { return entries_.size() - head_; }
  const Entry& front() const { return entries_[head_]; }
  const Entry& at(size_t i) const { return entries_[head_ + i]; }
  auto begin() const { return entries_.begin() + static_cast<std::ptrdiff_t>(head_); }
  auto end() const { return entries_.end(); }
  void push(Entry entry) { entries_.push_back(std::move(entry)); }
  void pop() {
    if (++head_ == entries_.size()) clear();
    if (head_ < kCompact) return;
    entries_.erase(entries_.begin(), begin());
    head_ = 0;
  }
  void erase(size_t i) { entries_.erase(begin() + static_cast<std::ptrdiff_t>(i)); }
  template <class Which>
  void erase_if(Which which) {
    entries_.erase(std::remove_if(entries_.begin() + static_cast<std::ptrdiff_t>(head_), entries_.end(), which),
                   entries_.end());
    if (empty()) clear();
  }
  void clear() {
    entries_.clear();
    head_ = 0;
  }

 private:
  static constexpr size_t kCompact = 1024;
  std::vector<Entry> entries_;
  size_t head_ = 0;
};

}  // namespace pgb::proxy
