// Prepared statements, shared by all sessions of a thread that prepared the same text with the same types, where a
// server makes the same of it for each of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "proxy/parameter_set.h"

namespace pgb::proxy {

struct PreparedStatement {
  uint64_t id = 0;         // unique in the process
  uint64_t epoch = 0;      // how often the catalogue had changed
  ParameterSetPtr under;   // the parameters that it is parsed under, see for_parsing(); null: it is one session's alone
  bool at_moment = false;  // it has a literal such as 'today', which is a constant from then on: never shared
  std::string body;        // of the Parse message after the statement's name: text, parameter types
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
  // another shape, and servers refuse to execute it then. `under` is not null.
  PreparedPtr intern(std::string_view body, uint64_t epoch, const ParameterSetPtr& under);
  // One that nobody else is given: what it will be parsed under is not known.
  static PreparedPtr alone(std::string_view body);

 private:
  struct Key {
    std::string_view body;
    const Parameters* under;
    bool operator==(const Key&) const = default;
  };
  struct OwnKey {
    std::string body;
    const Parameters* under;  // held by the statement; while that is there, no other set has this address
    operator Key() const { return {body, under}; }
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(const Key& key) const {
      return std::hash<std::string_view>()(key.body) ^ std::hash<const void*>()(key.under);
    }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const Key& a, const Key& b) const { return a == b; }
  };

  static std::shared_ptr<PreparedStatement> make(std::string_view body);
  void forget();

  size_t forget_at_ = 1024;
  std::unordered_map<OwnKey, std::weak_ptr<const PreparedStatement>, Hash, Equal> known_;
};

}  // namespace pgb::proxy
