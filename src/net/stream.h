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
  // The TLS handshake, which reads and writes do by themselves: for who wants to know when it is done (kDone, count
  // 0). After kWait read_wants_write() says what for. kDone at once without TLS.
  virtual IoResult handshake() { return {IoResult::Kind::kDone, 0}; }
  // Why TLS failed, in a few words; empty if it did not, or the peer just went away.
  virtual std::string failure() const { return {}; }
  // Whether the peer showed a certificate that an authority of our context vouches for.
  virtual bool peer_verified() const { return false; }
  // The common name of that certificate; empty if there is none.
  virtual std::string peer_common_name() const { return {}; }
  // SCRAM's channel binding data "tls-server-end-point" (RFC 5929), the same at both ends: a hash of the server's
  // certificate. Empty without TLS, before the handshake, and for certificates that RFC 5929 gives no hash for.
  virtual std::string end_point() const { return {}; }
  // What ALPN agreed on; empty: nothing.
  virtual std::string application_protocol() const { return {}; }
  virtual int fd() const = 0;
  // Takes the socket out, to wrap it anew; the stream is dead afterwards.
  virtual os::UniqueFd release() = 0;
};

// Takes a non-blocking, connected socket.
std::unique_ptr<Stream> plain_stream(os::UniqueFd fd);
// The same as TLS server; the handshake happens inside the first reads. `early`: what was read from the socket already.
// Null if memory is short.
std::unique_ptr<Stream> tls_server_stream(os::UniqueFd fd, const TlsContext& context, std::string early = {});
// The same as TLS client. `host` is the name or IP address that the certificate must be for, if the context wants that
// verified. Call handshake() until it is done: a write before would not wait for what it waits for.
std::unique_ptr<Stream> tls_client_stream(os::UniqueFd fd, const TlsContext& context, const std::string& host);

}  // namespace pgb::net
