#include "net/buffer.h"

#include <algorithm>
#include <utility>

namespace pgb::net {
namespace {
constexpr size_t kSmallest = 512;  // bytes of a block: most messages fit
}

// Twice the size each time, so that a byte is moved a few times at most; what was consumed is room, too.
void Buffer::make_room(size_t count) {
  const size_t used = size();
  const bool fits = begin_ >= used && count <= block_.size - used;  // moving costs no more than what was consumed
  if (fits) {
    std::memmove(block_.bytes.get(), block_.bytes.get() + begin_, used);
  } else {
    Block larger;
    larger.size = std::max({kSmallest, used + count, block_.size * 2});
    larger.bytes = std::make_unique_for_overwrite<char[]>(larger.size);
    if (used > 0) std::memcpy(larger.bytes.get(), block_.bytes.get() + begin_, used);
    block_ = std::move(larger);
  }
  begin_ = 0;
  end_ = used;
}

Block Buffer::take_memory() {
  begin_ = end_ = 0;
  return std::exchange(block_, {});
}

void Buffer::give_memory(Block memory) {
  block_ = std::move(memory);
  begin_ = end_ = 0;
}

}  // namespace pgb::net
