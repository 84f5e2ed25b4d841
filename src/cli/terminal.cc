#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
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
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    terminal.width = size.ws_col;
    if (size.ws_row > 0) terminal.height = size.ws_row;
  }
  if (const auto columns = parse_u64(environment("COLUMNS")); columns && *columns >= 20 && *columns <= 1000) {
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

std::string visible(std::string_view text, bool lines) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool c1 = c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;  // U+0080..9F
    if (c == '\n' || c == '\t') {
      out.push_back(lines ? text[i] : ' ');
    } else if (c < 0x20 || c == 0x7F || c1) {
      out.push_back('?');
      i += c1 ? 1 : 0;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

static bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

size_t columns(std::string_view text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      i = std::min(text.find('m', i), text.size());
    } else if (begins_character(text[i])) {
      ++count;
    }
  }
  return count;
}

std::string fitted(std::string_view text, size_t width) {
  size_t bytes = 0, count = 0;
  for (; bytes < text.size(); ++bytes) {
    if (begins_character(text[bytes]) && ++count > width) break;
  }
  std::string out(text.substr(0, bytes));
  return out + std::string(width - std::min(count, width), ' ');
}

std::string cut(std::string_view text, size_t width) {
  std::string out;
  size_t count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      const size_t end = std::min(text.find('m', i), text.size() - 1);
      out += text.substr(i, end + 1 - i);
      i = end;
    } else {
      if (begins_character(text[i])) ++count;
      if (count <= width) out.push_back(text[i]);
    }
  }
  return out;
}

std::string wrapped(const std::string& text, size_t width, const std::string& indent) {
  std::string out, line = indent + "! ";
  bool empty = true;
  const size_t longest = width - line.size();
  for (std::string word : split(visible(text), ' ')) {
    for (; word.size() > longest; word = word.substr(longest)) {
      out += (empty ? line : line + "\n" + indent + "  ") + word.substr(0, longest) + "\n";
      line = indent + "  ";
      empty = true;
    }
    if (!empty && line.size() + 1 + word.size() > width) {
      out += line + "\n";
      line = indent + "  ";
      empty = true;
    }
    line += (empty ? "" : " ") + word;
    empty = false;
  }
  return out + line + "\n";
}

std::string shorten(const std::string& name, size_t width) {
  if (name.size() <= width) return name;
  const size_t tail = width / 2, head = width - tail - 2;
  return name.substr(0, head) + ".." + name.substr(name.size() - tail);
}

}  // namespace pgb::cli
