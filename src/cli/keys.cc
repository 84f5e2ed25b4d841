#include "cli/keys.h"

#include <algorithm>
#include <string_view>

namespace pgb::cli {

namespace {

struct Sequence {
  std::string_view bytes;  // behind the escape byte, from '[' or 'O' on
  int key;
};

constexpr Sequence kSequences[] = {
    {"[A", kUp},   {"OA", kUp},   {"[B", kDown},  {"OB", kDown},  {"[5~", kPageUp}, {"[6~", kPageDown},
    {"[H", kHome}, {"OH", kHome}, {"[1~", kHome}, {"[7~", kHome}, {"[F", kEnd},     {"OF", kEnd},
    {"[4~", kEnd}, {"[8~", kEnd}, {"OP", kF1},    {"[11~", kF1},
};

// How many bytes the sequence at the beginning has, without the escape byte: "[1;5A", "OP", "x" (with Alt).
size_t length_of(std::string_view rest) {
  if (rest.front() == 'O') return std::min<size_t>(2, rest.size());
  if (rest.front() != '[') return 1;
  const auto final = std::find_if(rest.begin() + 1, rest.end(), [](char c) { return c >= 0x40 && c <= 0x7E; });
  return static_cast<size_t>(final - rest.begin()) + (final == rest.end() ? 0 : 1);
}

}  // namespace

std::optional<int> take_key(std::string& bytes) {
  if (bytes.empty()) return std::nullopt;
  const char first = bytes.front();
  if (first != kEscape || bytes.size() == 1) {
    bytes.erase(0, 1);
    if (first == '\r') return '\n';
    return first >= 0 ? first : static_cast<int>(kOther);  // part of a letter beyond ASCII
  }
  const std::string sequence = bytes.substr(1, length_of(std::string_view(bytes).substr(1)));
  bytes.erase(0, 1 + sequence.size());
  for (const Sequence& known : kSequences) {
    if (sequence == known.bytes) return known.key;
  }
  return kOther;
}

}  // namespace pgb::cli
