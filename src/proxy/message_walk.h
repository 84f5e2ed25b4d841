// Knows where messages begin and end in a stream that is only passed on: five bytes of each are
// looked at, nothing is kept.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "pgwire/types.h"

namespace pgb::proxy {

class MessageWalk {
 public:
  void feed(std::string_view bytes) {
    while (!bytes.empty() && !broken_) {
      if (header_ < pgwire::kHeaderSize) {
        take_header_byte(static_cast<uint8_t>(bytes.front()));
        bytes.remove_prefix(1);
      } else {
        const size_t step = std::min<size_t>(left_, bytes.size());
        left_ -= static_cast<uint32_t>(step);
        bytes.remove_prefix(step);
      }
      if (header_ == pgwire::kHeaderSize && left_ == 0) header_ = 0;
    }
  }

  // Between two messages: another one may be put in here.
  bool at_boundary() const { return !broken_ && header_ == 0; }
  // Of the message that began last; zero before the first.
  char last_tag() const { return tag_; }

 private:
  void take_header_byte(uint8_t byte) {
    if (header_ == 0) {
      tag_ = static_cast<char>(byte);
      left_ = 0;
    } else {
      left_ = (left_ << 8) | byte;
    }
    if (++header_ < pgwire::kHeaderSize) return;
    broken_ = left_ < 4;
    left_ -= std::min<uint32_t>(left_, 4);
  }

  size_t header_ = 0;  // bytes of the current header that have come
  uint32_t left_ = 0;  // bytes of the current message that have not
  char tag_ = 0;
  bool broken_ = false;
};

}  // namespace pgb::proxy
