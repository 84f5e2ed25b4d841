// Cuts a byte stream into messages, however it is fragmented.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "pgwire/types.h"

namespace pgb::pgwire {

struct Step {
  enum class Kind {
    kNeedMore,  // not even a header; `missing` bytes are needed for one
    kHeader,    // tag and total known, `missing` bytes of the message have not come; call stream() to
                // have it in chunks, or feed() more
    kMessage,   // a whole message: raw and payload; it is consumed
    kChunk,     // part of a streamed message: raw (the first has the header); `missing` bytes follow
    kBad,       // the stream is broken, for good: error()
  };
  Kind kind = Kind::kNeedMore;
  char tag = 0;
  size_t total = 0;          // tag + length word + payload
  std::string_view raw;      // what a relay passes on
  std::string_view payload;  // kMessage only
  size_t missing = 0;
};

// Views in a Step are valid until the next call of feed(), next() or clear().
class Framer {
 public:
  // A message whose payload is longer than max_body makes the stream kBad.
  explicit Framer(size_t max_body = kMaxBody) : max_body_(max_body) {}

  void feed(std::string_view bytes);
  Step next();
  // After kHeader, or at any time before: the message at the front comes as kChunk steps. Does
  // nothing while its header is incomplete or bad. No chunk is empty.
  void stream();

  void set_max_body(size_t max_body) { max_body_ = max_body; }
  // Bytes fed and not yet handed out.
  size_t buffered() const { return buffer_.size() - at_; }
  std::string_view buffered_bytes() const { return std::string_view(buffer_).substr(at_); }
  // True between messages: nothing buffered and nothing streamed in part.
  bool at_boundary() const { return buffered() == 0 && stream_left_ == 0; }
  void clear();
  const std::string& error() const { return error_; }

 private:
  Step bad(std::string why);
  Step chunk();
  bool header(Step& step);
  void compact();

  std::string buffer_;
  size_t at_ = 0;  // consumed prefix of buffer_
  size_t max_body_;
  size_t stream_left_ = 0;  // bytes of the streamed message still to hand out
  char stream_tag_ = 0;
  size_t stream_total_ = 0;
  std::string error_;
};

}  // namespace pgb::pgwire
