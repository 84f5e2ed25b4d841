// What the group's history is to be told of this node. What is tried over and over is told once: the history is short,
// and a failover is not to vanish behind it. No thread but the caller's.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace pgb::agent {

class HistoryNotes {
 public:
  using Line = std::pair<std::string, std::string>;  // action, sentence
  static constexpr size_t kMost = 50;                // a store that is away for long goes without

  // Nothing if that was the last one, too.
  void add(const std::string& action, const std::string& sentence) {
    Line line(action, sentence);
    if (line == last_) return;
    last_ = line;
    if (waiting_.size() < kMost) waiting_.push_back(std::move(line));
  }
  // It came to its end: the same again is news.
  void forget_last() { last_ = {}; }

  const std::vector<Line>& waiting() const { return waiting_; }
  void told() { waiting_.clear(); }

 private:
  Line last_;
  std::vector<Line> waiting_;
};

}  // namespace pgb::agent
