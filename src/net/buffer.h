// A queue of bytes: appended at the back, consumed from the front, contiguous in between.
// Gives its memory back when it runs empty after having been large.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace pgb::net {

// Memory without contents.
struct Block {
  std::unique_ptr<char[]> bytes;
  size_t size = 0;  // of bytes
};

class Buffer {
 public:
  bool empty() const { return begin_ == end_; }
  size_t size() const { return end_ - begin_; }
  std::string_view view() const { return std::string_view(block_.bytes.get() + begin_, size()); }

  // `bytes` must not be the buffer's own.
  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    if (bytes.size() > block_.size - end_) make_room(bytes.size());
    std::memcpy(block_.bytes.get() + end_, bytes.data(), bytes.size());
    end_ += bytes.size();
  }
  void consume(size_t count) {  // at most size()
    begin_ += count < size() ? count : size();
    if (begin_ == end_) clear();
  }
  void clear() {
    begin_ = end_ = 0;
    if (block_.size > kKeep) block_ = Block();
  }
  size_t capacity() const { return block_.size; }
  // The memory, for who keeps some for many buffers; only of an empty one.
  Block take_memory();
  void give_memory(Block memory);

 private:
  static constexpr size_t kKeep = 4096;  // bytes: an idle session keeps no more than this

  void make_room(size_t count);

  Block block_;
  size_t begin_ = 0, end_ = 0;  // in the block
};

}  // namespace pgb::net
