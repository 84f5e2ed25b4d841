// Inside dcs only: what comes on one connection of a watch, a JSON object a line.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "dcs/etcd_json.h"

namespace pgb::dcs {

class WatchStream {
 public:
  // Events before `from` are dropped; 0: those before begin().
  WatchStream(Revision from, const std::function<bool(const Changes&)>& on_changes)
      : from_(from), on_changes_(on_changes) {}

  void begin(Revision now) { from_ = from_ == 0 ? now + 1 : from_; }
  bool take(std::string_view piece);  // false: no more is wanted

  Revision from() const { return from_; }                       // where to go on
  bool created() const { return created_; }                     // the member has taken the watch
  bool satisfied() const { return satisfied_; }                 // on_changes said: enough
  const std::optional<Error>& error() const { return error_; }  // kCompacted, kProtocol: asking again does not help
  const Json& refusal() const { return refusal_; }              // what the member says against it; null: nothing

 private:
  bool fail(Error error);
  bool take_line(const Json& line);
  bool pass_on(const Json& events, Revision revision);

  Revision from_;
  const std::function<bool(const Changes&)>& on_changes_;
  bool created_ = false;
  bool satisfied_ = false;
  std::string buffer_;
  std::optional<Error> error_;
  Json refusal_;
};

}  // namespace pgb::dcs
