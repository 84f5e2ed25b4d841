// A queue of bytes: appended at the back, consumed from the front, contiguous in between.
// Gives its memory back when it runs empty after having been large.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pgb::net {

class Buffer {
 public:
  bool empty() const { return size() == 0; }
  size_t size() const { return bytes_.size() - start_; }
  std::string_view view() const { return std::string_view(bytes_).substr(start_); }

  void append(std::string_view bytes);
  void consume(size_t count);  // at most size()
  void clear();
  size_t capacity() const { return bytes_.capacity(); }
  // The memory, for who keeps some for many buffers; only of an empty one.
  std::string take_memory();
  void give_memory(std::string memory);

 private:
  std::string bytes_;
  size_t start_ = 0;
};

}  // namespace pgb::net
