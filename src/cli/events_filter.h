// Which events are shown, and how.
#pragma once

#include <ctime>
#include <optional>
#include <string>

namespace pgb::cli {

// "10m" before `now`, or a point in time as it is, as text that sorts with the events' times; nothing if
// it is neither. Empty: all.
std::optional<std::string> since_text(const std::string& since, std::time_t now);

// A line of events.jsonl as it is printed; empty if it is older, or broken.
std::string event_line(const std::string& line, const std::string& since, bool json);

}  // namespace pgb::cli
