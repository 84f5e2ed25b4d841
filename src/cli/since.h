// What --since means.
#pragma once

#include <ctime>
#include <optional>
#include <string>

#include "base/error.h"

namespace pgb::cli {

// "10m" before `now`, or a point in time (UTC) as it is, as text that sorts with the times of events and logs; nothing
// if it is neither. Empty: all.
std::optional<std::string> since_text(const std::string& since, std::time_t now);

Error no_time(const std::string& since);  // kUsage

}  // namespace pgb::cli
