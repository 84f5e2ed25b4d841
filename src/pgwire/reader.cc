#include "pgwire/reader.h"

namespace pgb::pgwire {

void Reader::fail() {
  failed_ = true;
  rest_ = {};
}

uint32_t Reader::number(size_t width) {
  uint32_t value = 0;
  for (char c : bytes(width)) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

uint8_t Reader::u8() { return static_cast<uint8_t>(number(1)); }
uint16_t Reader::u16() { return static_cast<uint16_t>(number(2)); }
uint32_t Reader::u32() { return number(4); }

std::string_view Reader::bytes(size_t count) {
  if (failed_ || count > rest_.size()) {
    fail();
    return {};
  }
  auto taken = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return taken;
}

std::string_view Reader::cstring() {
  auto end = rest_.find('\0');
  if (failed_ || end == std::string_view::npos) {
    fail();
    return {};
  }
  auto text = rest_.substr(0, end);
  rest_.remove_prefix(end + 1);
  return text;
}

std::string_view Reader::rest() { return bytes(rest_.size()); }

}  // namespace pgb::pgwire
