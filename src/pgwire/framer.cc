#include "pgwire/framer.h"

#include <algorithm>

#include "pgwire/reader.h"

namespace pgb::pgwire {
namespace {

constexpr size_t kKeepCapacity = 1 << 20;  // a larger buffer is given back when it runs empty

}  // namespace

void Framer::compact() {
  if (at_ < buffer_.size()) {
    buffer_.erase(0, at_);
  } else if (buffer_.capacity() > kKeepCapacity) {
    std::string().swap(buffer_);
  } else {
    buffer_.clear();
  }
  at_ = 0;
}

void Framer::feed(std::string_view bytes) {
  if (at_ > 0) compact();
  buffer_.append(bytes);
}

Step Framer::bad(std::string why) {
  error_ = std::move(why);
  Step step;
  step.kind = Step::Kind::kBad;
  return step;
}

// Reads tag and total of the message at the front; false when its header is incomplete or bad (in
// which case error_ is set).
bool Framer::header(Step& step) {
  if (buffered() < kHeaderSize) {
    step.missing = kHeaderSize - buffered();
    return false;
  }
  Reader reader(buffered_bytes());
  step.tag = static_cast<char>(reader.u8());
  size_t length = reader.u32();
  if (length < 4) {
    bad("a message states the impossible length " + std::to_string(length));
    return false;
  }
  if (length - 4 > max_body_) {
    bad("a message of " + std::to_string(length - 4) + " bytes exceeds the limit of " + std::to_string(max_body_));
    return false;
  }
  step.total = length + 1;
  return true;
}

Step Framer::chunk() {
  Step step;
  step.tag = stream_tag_;
  step.total = stream_total_;
  size_t size = std::min(buffered(), stream_left_);
  if (size > 0) {
    step.kind = Step::Kind::kChunk;
    step.raw = buffered_bytes().substr(0, size);
    at_ += size;
    stream_left_ -= size;
  }
  step.missing = stream_left_;
  return step;
}

Step Framer::next() {
  if (!error_.empty()) return bad(error_);
  if (stream_left_ > 0) return chunk();
  Step step;
  if (!header(step)) {
    if (!error_.empty()) step.kind = Step::Kind::kBad;
    return step;
  }
  if (buffered() < step.total) {
    step.kind = Step::Kind::kHeader;
    step.missing = step.total - buffered();
    return step;
  }
  step.kind = Step::Kind::kMessage;
  step.raw = buffered_bytes().substr(0, step.total);
  step.payload = step.raw.substr(kHeaderSize);
  at_ += step.total;
  return step;
}

void Framer::stream() {
  Step step;
  if (stream_left_ > 0 || !error_.empty() || !header(step)) return;
  stream_left_ = step.total;
  stream_total_ = step.total;
  stream_tag_ = step.tag;
}

void Framer::clear() {
  buffer_.clear();
  at_ = 0;
  stream_left_ = 0;
  error_.clear();
}

}  // namespace pgb::pgwire
