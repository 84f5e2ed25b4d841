// Log lines for the two daemons: one line an event on standard error, which systemd and Docker
// collect. Any thread may call. Never pass a Secret's text.
#pragma once

#include <string_view>

namespace pgb::log {

enum class Level { kDebug, kInfo, kWarn, kError };

// Sets the name printed in each line and the least level that is printed. Call once, at start.
void setup(std::string_view program, Level least);

// "2026-01-01T12:00:00.123Z info  program: message"
void write(Level level, std::string_view message);

inline void debug(std::string_view message) { write(Level::kDebug, message); }
inline void info(std::string_view message) { write(Level::kInfo, message); }
inline void warn(std::string_view message) { write(Level::kWarn, message); }
inline void error(std::string_view message) { write(Level::kError, message); }

}  // namespace pgb::log
