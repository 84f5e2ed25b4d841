#include "sql/hints.h"

#include <algorithm>
#include <string>

namespace pgb::sql {
namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";

std::string squeeze(std::string_view text) {  // lower case, without white space
  std::string out;
  for (const char c : text) {
    if (kSpace.find(c) == std::string_view::npos) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  return out;
}

Hint read(std::string_view comment) {
  const std::string words = squeeze(comment.substr(0, 100));
  if (words == "pgbalancer:primary" || words == "noloadbalance") return Hint::kPrimary;
  return words == "pgbalancer:replica" ? Hint::kReplica : Hint::kNone;
}

// The end of a comment that begins at `at`, nested ones included; npos: it has none.
size_t end_of_block(std::string_view text, size_t at) {
  size_t depth = 0;
  for (size_t i = at; i + 1 < text.size(); ++i) {
    if (text[i] == '/' && text[i + 1] == '*') {
      ++depth;
      ++i;
    } else if (text[i] == '*' && text[i + 1] == '/') {
      ++i;
      if (--depth == 0) return i + 1;
    }
  }
  return std::string_view::npos;
}

}  // namespace

size_t end_of_comment(std::string_view text, size_t at) {
  if (text.substr(at, 2) == "--") return std::min(text.find_first_of("\r\n", at), text.size());
  return end_of_block(text, at);
}

Hint find_hint(std::string_view text) {
  Hint hint = Hint::kNone;
  size_t at = 0;
  while ((at = text.find_first_not_of(kSpace, at)) != std::string_view::npos) {
    Hint found = Hint::kNone;
    if (text.substr(at, 2) == "/*") {
      const size_t end = end_of_comment(text, at);
      if (end == std::string_view::npos) break;
      found = read(text.substr(at + 2, end - at - 4));
      at = end;
    } else if (text.substr(at, 2) == "--") {
      const size_t end = end_of_comment(text, at);
      found = read(text.substr(at + 2, end - at - 2));
      at = end;
    } else {
      break;
    }
    if (found == Hint::kPrimary) return found;  // the cautious one wins
    if (found != Hint::kNone) hint = found;
  }
  return hint;
}

}  // namespace pgb::sql
