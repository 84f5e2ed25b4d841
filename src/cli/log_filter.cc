#include "cli/log_filter.h"

#include <algorithm>

namespace pgb::cli {

// "2026-01-31T12:00:00", as events have it; empty if the line begins otherwise.
static std::string time_of(std::string_view line) {
  constexpr std::string_view kForm = "dddd-dd-dd dd:dd:dd";
  if (line.size() < kForm.size()) return "";
  std::string time(line.substr(0, kForm.size()));
  if (time[10] == 'T') time[10] = ' ';
  for (size_t i = 0; i < kForm.size(); ++i) {
    const bool digit = time[i] >= '0' && time[i] <= '9';
    if (kForm[i] == 'd' ? !digit : time[i] != kForm[i]) return "";
  }
  time[10] = 'T';
  return time;
}

std::string LogFilter::pass(std::string_view text) {
  while (!open_ && !text.empty()) {
    const std::string time = time_of(text);
    // Cut to what was asked for: "12:00" is not later than "12:00:00".
    open_ = !time.empty() && time >= since_.substr(0, time.size());
    if (!open_) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  }
  return std::string(text);
}

}  // namespace pgb::cli
