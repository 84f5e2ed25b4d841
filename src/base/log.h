// Log lines for the two daemons: one line an event on standard error, which systemd and Docker collect, or in a file.
// Any thread may call. Never pass a Secret's text.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace pgb::log {

enum class Level { kDebug, kInfo, kWarn, kError };
enum class Format {
  kText,  // "2026-01-01T12:00:00.123Z info  program: message key=value"
  kJson,  // {"time":"2026-01-01T12:00:00.123Z","level":"info","program":"program","message":"…","key":"value"}
};
// What programs may look for, beside the message for people.
using Fields = std::initializer_list<std::pair<std::string_view, std::string>>;

// Sets the name printed in each line and the least level that is printed. Call once, at start.
void setup(std::string_view program, Level least, Format format = Format::kText);

// From now on standard error, and with it the log, goes to the end of that file (made with mode 0640). To be called
// again after the file was renamed. False if it cannot be opened (errno): then all stays as it was.
bool write_to(const std::string& path);

void write(Level level, std::string_view message, Fields fields = {});

inline void debug(std::string_view message, Fields fields = {}) { write(Level::kDebug, message, fields); }
inline void info(std::string_view message, Fields fields = {}) { write(Level::kInfo, message, fields); }
inline void warn(std::string_view message, Fields fields = {}) { write(Level::kWarn, message, fields); }
inline void error(std::string_view message, Fields fields = {}) { write(Level::kError, message, fields); }

}  // namespace pgb::log
