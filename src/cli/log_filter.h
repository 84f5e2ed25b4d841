// The lines of a server's or balancer's log from a point in time on.
#pragma once

#include <string>
#include <string_view>

namespace pgb::cli {

class LogFilter {
 public:
  // `since` as since_text() gives it; empty lets everything pass.
  explicit LogFilter(std::string since) : since_(std::move(since)), open_(since_.empty()) {}

  // Of the text that comes next, whole lines or not, what is to be shown. A line begins with its time, as our programs
  // (2026-01-31T12:00:00Z) and PostgreSQL (2026-01-31 12:00:00.000 UTC) write it; one that does not goes with the
  // line before. The first line that is late enough lets all that follow it pass.
  std::string pass(std::string_view text);

 private:
  std::string since_;
  bool open_;
};

}  // namespace pgb::cli
