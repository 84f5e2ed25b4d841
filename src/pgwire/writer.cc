#include "pgwire/writer.h"

namespace pgb::pgwire {

Writer& Writer::begin(char tag) {
  out_.push_back(tag);
  return begin_untagged();
}

Writer& Writer::begin_untagged() {
  length_at_ = out_.size();
  return u32(0);
}

Writer& Writer::u8(uint8_t value) {
  out_.push_back(static_cast<char>(value));
  return *this;
}

Writer& Writer::u16(uint16_t value) { return u8(static_cast<uint8_t>(value >> 8)).u8(static_cast<uint8_t>(value)); }

Writer& Writer::u32(uint32_t value) {
  return u16(static_cast<uint16_t>(value >> 16)).u16(static_cast<uint16_t>(value));
}

Writer& Writer::bytes(std::string_view value) {
  out_.append(value);
  return *this;
}

Writer& Writer::cstring(std::string_view value) {
  out_.append(value.substr(0, value.find('\0')));
  out_.push_back('\0');
  return *this;
}

void Writer::end() {
  auto length = static_cast<uint32_t>(out_.size() - length_at_);
  for (int i = 0; i < 4; ++i) out_[length_at_ + static_cast<size_t>(i)] = static_cast<char>(length >> (24 - 8 * i));
}

}  // namespace pgb::pgwire
