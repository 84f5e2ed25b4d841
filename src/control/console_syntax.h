// The text of a command at the console, cut into words. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pgb::control {

struct Word {
  std::string text;     // in lower case unless it was quoted
  bool quoted = false;  // in single or double quotes
  bool operator==(const Word&) const = default;
};

// One command; a semicolon may stand behind it, blanks and SQL comments anywhere. "=" is a word of its own. No words:
// the text is empty. kUsage: a second command, a quote that does not end, more than 64 words, or a zero byte.
Result<std::vector<Word>> words_of(std::string_view text);

}  // namespace pgb::control
