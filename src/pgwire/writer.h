// Appends protocol messages to a buffer and fills in their lengths.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pgb::pgwire {

// begin(tag) … end() frames one message; begin_untagged() is for first packets. Does not own the
// buffer. Text given to cstring() is cut at its first zero byte, so that it cannot forge fields.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  Writer& begin(char tag);
  Writer& begin_untagged();
  Writer& u8(uint8_t value);
  Writer& u16(uint16_t value);
  Writer& u32(uint32_t value);
  Writer& i16(int16_t value) { return u16(static_cast<uint16_t>(value)); }
  Writer& i32(int32_t value) { return u32(static_cast<uint32_t>(value)); }
  Writer& bytes(std::string_view value);
  Writer& cstring(std::string_view value);
  void end();

 private:
  std::string& out_;
  size_t length_at_ = 0;  // where the length of the open message stands
};

}  // namespace pgb::pgwire
