#include "base/log.h"

#include <fcntl.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/strings.h"

namespace pgb::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kDebug: return spdlog::level::debug;
    case Level::kInfo: return spdlog::level::info;
    case Level::kWarn: return spdlog::level::warn;
    case Level::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance =
      std::make_shared<spdlog::logger>("pgbalancer", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  return instance;
}

Format& format() {
  static Format chosen = Format::kText;  // set before the threads start
  return chosen;
}

// In double quotes, as JSON has it; bytes that are not UTF-8 become question marks.
std::string quoted(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    const auto byte = static_cast<unsigned char>(text[i]);
    if (length == 0) {
      out += '?';
    } else if (byte < 0x20) {
      out += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      if (byte == '"' || byte == '\\') out += '\\';
      out += text.substr(i, length);
    }
    i += std::max<size_t>(length, 1);
  }
  return out + '"';
}

bool is_plain(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f && c != '"'; });
}

// Names that clients give stand in messages, too: none of them may look like a line of its own.
std::string on_one_line(std::string_view text) {
  std::string out(text);
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return out;
}

std::string one_line(std::string_view message, Fields fields) {
  const bool json = format() == Format::kJson;
  std::string line =
      json ? "\"program\":" + quoted(logger()->name()) + ",\"message\":" + quoted(message) : on_one_line(message);
  for (const auto& [key, value] : fields) {
    if (json) {
      line += "," + quoted(key) + ":" + quoted(value);
    } else {
      line += " " + std::string(key) + "=" + (is_plain(value) ? value : quoted(value));
    }
  }
  return line;
}

}  // namespace

void setup(std::string_view program, Level least, Format how) {
  format() = how;
  logger() = std::make_shared<spdlog::logger>(std::string(program), std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger()->set_pattern(how == Format::kJson ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                                             : "%Y-%m-%dT%H:%M:%S.%eZ %-7l %n: %v",
                        spdlog::pattern_time_type::utc);
  logger()->set_level(to_spdlog(least));
  logger()->flush_on(spdlog::level::debug);
}

bool write_to(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) return false;
  const bool moved = ::dup2(fd, STDERR_FILENO) >= 0;
  ::close(fd);
  return moved;
}

void write(Level level, std::string_view message, Fields fields) {
  if (logger()->should_log(to_spdlog(level))) logger()->log(to_spdlog(level), one_line(message, fields));
}

}  // namespace pgb::log
