// Session parameters (SET …) as an immutable value. Equal sets are one object, so that "has this server what that
// session needs?" is the comparison of two pointers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace pgb::proxy {

// Names in lower case, as the server prints them, to values as set_config() takes them.
using Parameters = std::map<std::string, std::string>;
using ParameterSetPtr = std::shared_ptr<const Parameters>;

// Gives each distinct set one object. Thread-safe.
class ParameterSets {
 public:
  ParameterSetPtr intern(Parameters parameters);
  const ParameterSetPtr& none() const { return none_; }

 private:
  static constexpr size_t kForgetAbove = 1000;

  const ParameterSetPtr none_ = std::make_shared<const Parameters>();
  std::mutex mutex_;
  std::map<Parameters, std::weak_ptr<const Parameters>> known_;  // guarded by mutex_, like the next one
  size_t forget_above_ = kForgetAbove;  // with more, those that nobody has any more are looked for
};

// SQL that turns a server session with the parameters `from` into one with `to`; empty when nothing is to be done.
// Both are complete: whatever is not in them has the value the server gave at login.
std::string sql_to_change(const Parameters& from, const Parameters& to);

// Whether a server may refuse that change for what was done there before, or for the time that an earlier session has
// left for it, though a new one would take it.
bool may_be_refused(const Parameters& from, const Parameters& to);
// A statement_timeout that even our own questions may hit.
bool has_short_timeout(const Parameters& parameters);

// Those of them that decide what a server makes of a statement's text when it parses it: which objects its names mean,
// and which values its literals are.
Parameters for_parsing(const Parameters& all);
bool is_for_parsing(std::string_view name);  // in lower case

// What a startup packet asks for: every parameter that is no user, database, replication or protocol option, and the
// settings in "options" (-c name=value, --name=value; backslash escapes). kConfig for any other option.
Result<Parameters> startup_parameters(const std::map<std::string, std::string>& packet);

enum class Replication : uint8_t { kNone, kPhysical, kLogical };
// What the startup parameter "replication" asks for, read as a server reads it; nothing for a value that it refuses.
std::optional<Replication> replication_of(std::string_view value);

// 'it''s', and E'…' where there is a backslash: right whatever standard_conforming_strings is.
std::string quote_literal(const std::string& text);
std::string quote_identifier(const std::string& text);
std::string lower(std::string_view text);  // ASCII, as PostgreSQL folds the names of parameters

}  // namespace pgb::proxy
