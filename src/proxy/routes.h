// How many requests of what meaning went where, and why. A reason gets a number when it is first thought of (once for
// each statement that is remembered), so that counting is one addition to a thread's own memory.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "proxy/counters.h"
#include "proxy/meaning.h"
#include "proxy/topology_snapshot.h"
#include "proxy/traffic.h"

namespace pgb::proxy {

using ReasonId = uint16_t;
// Reasons that no statement gives.
namespace reason {
inline constexpr ReasonId kNotLookedInto = 0, kOther = 1, kNoReplica = 2, kSessionMode = 3, kNoSplit = 4,
                          kOtherStrings = 5, kLogin = 6, kRefused = 7, kSerializable = 8, kSeesMore = 9,
                          kRefusedStatement = 10;
}  // namespace reason
inline constexpr char kOtherStringsText[] =
    "standard_conforming_strings is off, or bytes of the client_encoding may look like ASCII";
inline constexpr char kSeesMoreText[] =
    "causal_reads is global: each statement of the transaction must see what others have written, as it is not "
    "REPEATABLE READ";
inline constexpr size_t kMaxReasons = 256;  // those that come later are counted as "other reasons"

// Shared by all threads.
class Reasons {
 public:
  ReasonId id_of(std::string_view text) {
    const std::lock_guard lock(mutex_);
    const auto found = ids_.find(text);
    if (found != ids_.end()) return found->second;
    if (next_ == kMaxReasons) return reason::kOther;
    texts_[next_] = text;
    ids_.emplace(texts_[next_], next_);
    return next_++;
  }
  // Lives as long as this; of an id that the calling thread, or whoever gave it the id, had from id_of().
  const std::string& text(ReasonId id) const { return texts_[id]; }

 private:
  std::mutex mutex_;
  ReasonId next_ = reason::kRefusedStatement + 1;
  std::array<std::string, kMaxReasons> texts_ = {
      "it was not looked into",
      "other reasons",
      "it only reads, but no replica is healthy and up to date with what the session must see",
      "pool_mode is session",
      "read_write_split is off",
      kOtherStringsText,
      "the login of a client asked for parameters",
      "it only reads, but a replica refused the login a moment ago",
      "default_transaction_isolation is serializable, which no replica can do",
      kSeesMoreText,
      "it only reads, but a replica refused to do it"};
  std::map<std::string_view, ReasonId> ids_;  // of texts_
};

// One thread's own.
class RouteCounts {
 public:
  void count(const NodeView& node, ReasonId reason, Meaning meaning) {
    ++of(node).counts[reason][static_cast<size_t>(meaning)];
  }
  void note_answer(const NodeView& node, uint64_t us) { of(node).latency.note(us); }

  template <class Visit>
  void each(Visit visit) const {  // visit(node's name, reason, meaning, count)
    for (const Node& node : nodes_) {
      for (size_t id = 0; id < kMaxReasons; ++id) {
        for (size_t meaning = 0; meaning < kMeanings; ++meaning) {
          const uint64_t count = node.counts[id][meaning];
          if (count > 0) visit(node.name, static_cast<ReasonId>(id), static_cast<Meaning>(meaning), count);
        }
      }
    }
  }
  template <class Visit>
  void each_latency(Visit visit) const {  // visit(node's name, latency)
    for (const Node& node : nodes_) visit(node.name, node.latency);
  }

 private:
  struct Node {
    std::string name;
    std::shared_ptr<const NodeGauge> gauge;  // held: its address means no other node meanwhile
    std::array<std::array<uint64_t, kMeanings>, kMaxReasons> counts = {};
    Latency latency;
  };
  Node& of(const NodeView& node) {
    for (Node& known : nodes_) {
      if (known.gauge == node.gauge) return known;
    }
    for (Node& known : nodes_) {
      if (known.name != node.name) continue;
      known.gauge = node.gauge;
      return known;
    }
    nodes_.push_back({node.name, node.gauge, {}, {}});
    return nodes_.back();
  }

  std::deque<Node> nodes_;
};

}  // namespace pgb::proxy
