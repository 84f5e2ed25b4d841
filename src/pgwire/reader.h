// A cursor over the bytes of one message that cannot leave them.
#pragma once

#include <cstdint>
#include <string_view>

namespace pgb::pgwire {

// Once a read does not fit, failed() is true for good and every read gives zero or empty text: decode
// straight through and ask once at the end. Views point into the bytes handed over.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  uint8_t u8();
  uint16_t u16();
  uint32_t u32();
  int16_t i16() { return static_cast<int16_t>(u16()); }
  int32_t i32() { return static_cast<int32_t>(u32()); }
  std::string_view bytes(size_t count);
  std::string_view cstring();  // without its zero byte; fails if there is none
  std::string_view rest();     // everything left

  void fail();
  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }
  size_t remaining() const { return rest_.size(); }
  // Nothing failed and nothing is left over.
  bool complete() const { return !failed_ && rest_.empty(); }

 private:
  uint32_t number(size_t width);

  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace pgb::pgwire
