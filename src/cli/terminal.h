// What a stream can show.
#pragma once

#include <string>
#include <string_view>

namespace pgb::cli {

struct Terminal {
  bool tty = false;  // a terminal that can move its cursor
  bool color = false;
  bool utf8 = false;  // marks as ✔ ! ✘ ? ·, else as words of two letters
  int width = 80;
  int height = 24;

  // Asks the stream and the environment (TERM, NO_COLOR, COLUMNS, LC_ALL …). `color` is auto, always, never.
  static Terminal of(int fd, std::string_view color);
};

enum class Mark { kOk, kWarning, kBad, kUnknown, kWaiting };

// "✔" in green, or "ok" without UTF-8; no escape byte without colour.
std::string mark(const Terminal& terminal, Mark kind);
std::string paint(const Terminal& terminal, std::string_view color,
                  std::string_view text);  // "green", "red", "yellow", "dim"

// Text of others (servers, engines, files) as it may be shown: control bytes become '?', so that none of
// them can steer a terminal. Line ends stay if `lines`, else they and tabs become blanks.
std::string visible(std::string_view text, bool lines = false);

// How wide it stands: characters, not bytes; colours count nothing.
size_t columns(std::string_view text);

// Cut, at a character, or filled with blanks to exactly `width` columns. `text` is without colours.
std::string fitted(std::string_view text, size_t width);

// Its first `width` columns, with all colours that are in it.
std::string cut(std::string_view text, size_t width);

// Broken at blanks into lines of at most `width`, the first one behind `indent` and "! ", the others as far in.
std::string wrapped(const std::string& text, size_t width, const std::string& indent);

// Cuts the middle out of a name that is wider than `width`.
std::string shorten(const std::string& name, size_t width);

}  // namespace pgb::cli
