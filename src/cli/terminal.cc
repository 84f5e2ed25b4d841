#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/strings.h"

namespace pgb::cli {

static std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

static bool is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string value = environment(name);
    if (!value.empty()) return value.find("UTF-8") != std::string::npos || value.find("utf8") != std::string::npos;
  }
  return false;
}

Terminal Terminal::of(int fd, std::string_view color) {
  Terminal terminal;
  terminal.tty = isatty(fd) == 1 && environment("TERM") != "dumb" && !environment("TERM").empty();
  terminal.color = color == "always" || (color == "auto" && terminal.tty && environment("NO_COLOR").empty());
  terminal.utf8 = is_utf8();
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) terminal.width = size.ws_col;
  if (const auto columns = parse_u64(environment("COLUMNS")); columns && *columns >= 20) {
    terminal.width = static_cast<int>(*columns);
  }
  return terminal;
}

std::string paint(const Terminal& terminal, std::string_view color, std::string_view text) {
  if (!terminal.color) return std::string(text);
  const char* code = color == "green" ? "32" : color == "red" ? "31" : color == "yellow" ? "33" : "2";
  return "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m";
}

std::string mark(const Terminal& terminal, Mark kind) {
  switch (kind) {
    case Mark::kOk: return paint(terminal, "green", terminal.utf8 ? "✔" : "ok");
    case Mark::kWarning: return paint(terminal, "yellow", terminal.utf8 ? "!" : "!!");
    case Mark::kBad: return paint(terminal, "red", terminal.utf8 ? "✘" : "XX");
    case Mark::kUnknown: return paint(terminal, "yellow", terminal.utf8 ? "?" : "??");
    case Mark::kWaiting: return paint(terminal, "dim", terminal.utf8 ? "·" : "..");
  }
  return "";
}

std::string shorten(const std::string& name, size_t width) {
  if (name.size() <= width) return name;
  const size_t tail = width / 2, head = width - tail - 2;
  return name.substr(0, head) + ".." + name.substr(name.size() - tail);
}

}  // namespace pgb::cli
