// Which events are shown, and how.
#pragma once

#include <string>

namespace pgb::cli {

// A line of events.jsonl as it is printed; empty if it is older, or broken.
std::string event_line(const std::string& line, const std::string& since, bool json);

}  // namespace pgb::cli
