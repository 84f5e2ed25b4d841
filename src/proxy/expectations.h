// What a server still has to answer: one entry for each message that was sent to it, in order. It decides what
// becomes of each answer (passed on, swallowed), and where answers that we give ourselves belong between them.
// Source: PostgreSQL documentation, "Message Flow".
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pgb::proxy {

struct Expectation {
  enum class Kind : uint8_t {
    kQuery,       // ends with ReadyForQuery; also FunctionCall
    kInternal,    // a query of our own: every answer is ours
    kParse,       // ParseComplete to the client
    kParseOurs,   // ParseComplete of a Parse that we put in
    kParseLocal,  // the server knows the statement already: we say ParseComplete
    kBind,
    kDescribe,  // RowDescription or NoData
    kExecute,
    kClose,
    kCloseOurs,
    kCloseLocal,  // we say CloseComplete
    kSync,        // ReadyForQuery
    kCopyEnd,     // CopyDone or CopyFail was sent; has no answer of its own
  };
  Kind kind = Kind::kQuery;
  uint64_t statement = 0;  // id of the prepared statement of kParse…, kClose…
  uint32_t change = 0;     // number of the change to the client's names that it makes, see ServerUser::server_skipped()
};

// A queue that keeps its memory.
class Expectations {
 public:
  bool empty() const { return head_ == entries_.size(); }
  size_t size() const { return entries_.size() - head_; }
  const Expectation& front() const { return entries_[head_]; }
  const Expectation& at(size_t i) const { return entries_[head_ + i]; }
  void push(Expectation entry) { entries_.push_back(entry); }
  void pop() {
    if (++head_ == entries_.size()) clear();
    if (head_ >= kCompact) {
      entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
    }
  }
  void erase(size_t i) { entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(head_ + i)); }
  void clear() {
    entries_.clear();
    head_ = 0;
  }

 private:
  static constexpr size_t kCompact = 1024;
  std::vector<Expectation> entries_;
  size_t head_ = 0;
};

}  // namespace pgb::proxy
