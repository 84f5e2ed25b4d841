// A non-blocking byte stream over a connected socket, plain or TLS. Used by one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "net/tls_context.h"
#include "os/unique_fd.h"

namespace pgb::net {

struct IoResult {
  enum class Kind {
    kDone,    // `count` bytes were moved, at least one
    kWait,    // nothing possible now: wait for the stream to get readable or writable
    kClosed,  // the peer ended the stream
    kFailed,  // reset, or a TLS error
  } kind = Kind::kWait;
  size_t count = 0;
};

class Stream {
 public:
  virtual ~Stream() = default;
  virtual IoResult read(char* data, size_t size) = 0;
  virtual IoResult write(std::string_view bytes) = 0;
  // A read that gave kWait can go on only when the socket is writable.
  virtual bool read_wants_write() const { return false; }
  // Says goodbye as far as that is possible without waiting. The socket stays open.
  virtual void shut_down() {}
  virtual bool encrypted() const { return false; }
  // The common name in the peer's certificate, which was verified; "" if there is none.
  virtual std::string peer_common_name() const { return ""; }
  virtual int fd() const = 0;
  // Takes the socket out, to wrap it anew; the stream is dead afterwards.
  virtual os::UniqueFd release() = 0;
};

// Takes a non-blocking, connected socket.
std::unique_ptr<Stream> plain_stream(os::UniqueFd fd);
// The same as TLS server; the handshake happens inside the first reads. Null if memory is short.
std::unique_ptr<Stream> tls_server_stream(os::UniqueFd fd, const TlsContext& context);

}  // namespace pgb::net
