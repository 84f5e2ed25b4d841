#include "net/buffer.h"

#include <algorithm>
#include <utility>

namespace pgb::net {
namespace {
constexpr size_t kKeep = 4096;  // an idle session keeps no more than this
}

void Buffer::append(std::string_view bytes) {
  if (start_ > 0 && start_ >= size()) {  // moving costs no more than what was consumed
    bytes_.erase(0, start_);
    start_ = 0;
  }
  bytes_.append(bytes);
}

void Buffer::consume(size_t count) {
  start_ += std::min(count, size());
  if (start_ == bytes_.size()) clear();
}

void Buffer::clear() {
  start_ = 0;
  if (bytes_.capacity() > kKeep) {
    std::string().swap(bytes_);
  } else {
    bytes_.clear();
  }
}

std::string Buffer::take_memory() {
  start_ = 0;
  return std::exchange(bytes_, {});
}

void Buffer::give_memory(std::string memory) {
  bytes_ = std::move(memory);
  bytes_.clear();
  start_ = 0;
}

}  // namespace pgb::net
