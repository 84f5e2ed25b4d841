// Prepared statements, shared by all sessions of a thread that prepared the same text with the same types.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pgb::proxy {

struct PreparedStatement {
  uint64_t id = 0;     // unique in the process
  uint64_t epoch = 0;  // how often the catalogue had changed
  std::string body;    // of the Parse message after the statement's name: text, parameter types
  std::string_view text() const { return std::string_view(body).substr(0, body.find('\0')); }
};
using PreparedPtr = std::shared_ptr<const PreparedStatement>;

// Of names and texts: a part of a message is looked up without a copy of it.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

// Used by one thread.
class PreparedStatements {
 public:
  // What was prepared before the catalogue changed is not given to who prepares after it: its result may have
  // another shape, and servers refuse to execute it then.
  PreparedPtr intern(std::string_view body, uint64_t epoch) {
    const auto found = known_.find(body);
    if (found != known_.end()) {
      PreparedPtr known = found->second.lock();
      if (known && known->epoch == epoch) return known;
      known_.erase(found);
    }
    if (known_.size() >= forget_at_) forget();
    auto statement = std::make_shared<PreparedStatement>();
    statement->id = next_id().fetch_add(1, std::memory_order_relaxed);
    statement->epoch = epoch;
    statement->body = body;
    known_.emplace(statement->body, statement);
    return statement;
  }

 private:
  static std::atomic<uint64_t>& next_id() {
    static std::atomic<uint64_t> id{1};
    return id;
  }
  void forget() {
    for (auto it = known_.begin(); it != known_.end();) it = it->second.expired() ? known_.erase(it) : std::next(it);
    forget_at_ = std::max<size_t>(1024, known_.size() * 2);
  }

  size_t forget_at_ = 1024;
  std::unordered_map<std::string, std::weak_ptr<const PreparedStatement>, TextHash, std::equal_to<>> known_;
};

}  // namespace pgb::proxy
