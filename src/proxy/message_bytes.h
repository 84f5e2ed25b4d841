// The bytes of messages as they lie in a buffer: what both directions of the relay need of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "pgwire/types.h"

namespace pgb::proxy {

inline constexpr size_t kMaxWhole = 1024 * 1024;  // of a client's message that is looked into

// The four bytes at `at`, most significant first. They must be there.
inline uint32_t read_word(std::string_view bytes, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i])); };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

// The length word of a message whose header is there: it counts itself, but not the tag.
inline uint32_t length_word(std::string_view header) { return read_word(header, 1); }

inline void append_word(std::string& out, size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

// Up to the next zero byte from `at` on; `complete` false and nothing when there is none.
inline std::string_view read_c_string(std::string_view bytes, size_t at, bool& complete) {
  const size_t end = at <= bytes.size() ? bytes.find('\0', at) : std::string_view::npos;
  complete = end != std::string_view::npos;
  return complete ? bytes.substr(at, end - at) : std::string_view();
}

// Parse: `body` is what follows the statement's name.
inline void append_parse(std::string& out, std::string_view name, std::string_view body) {
  out += pgwire::fe::kParse;
  append_word(out, 4 + name.size() + 1 + body.size());
  out += name;
  out += '\0';
  out += body;
}

// Describe or Close (`tag`) of the prepared statement `name`.
inline void append_about_statement(std::string& out, char tag, std::string_view name) {
  out += tag;
  append_word(out, 4 + 1 + name.size() + 1);
  out += 'S';
  out += name;
  out += '\0';
}

}  // namespace pgb::proxy
