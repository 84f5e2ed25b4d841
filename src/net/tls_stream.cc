// The socket is handed to OpenSSL through our own BIO so that a vanished peer is an error code, never SIGPIPE.
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "net/stream.h"

namespace pgb::net {
namespace {

int bio_fd(BIO* bio) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

bool must_retry() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

int bio_read(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t got = ::recv(bio_fd(bio), data, static_cast<size_t>(size), 0);
  if (got < 0 && must_retry()) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

int bio_write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent = ::send(bio_fd(bio), data, static_cast<size_t>(size), MSG_NOSIGNAL);
  if (sent < 0 && must_retry()) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without signals");
    if (made != nullptr) {
      BIO_meth_set_read(made, bio_read);
      BIO_meth_set_write(made, bio_write);
      BIO_meth_set_ctrl(made, bio_control);
    }
    return made;
  }();
  return method;
}

class TlsStream final : public Stream {
 public:
  TlsStream(os::UniqueFd fd, std::unique_ptr<SSL, decltype(&SSL_free)> ssl)
      : fd_(std::move(fd)), ssl_(std::move(ssl)) {}

  IoResult read(char* data, size_t size) override {
    ERR_clear_error();
    const int got = SSL_read(ssl_.get(), data, static_cast<int>(std::min<size_t>(size, INT_MAX)));
    if (got > 0) return {IoResult::Kind::kDone, static_cast<size_t>(got)};
    const int error = SSL_get_error(ssl_.get(), got);
    read_wants_write_ = error == SSL_ERROR_WANT_WRITE;
    return from_ssl(error);
  }

  IoResult write(std::string_view bytes) override {
    if (bytes.empty()) return {IoResult::Kind::kDone, 0};
    ERR_clear_error();
    const int sent = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(std::min<size_t>(bytes.size(), INT_MAX)));
    if (sent > 0) return {IoResult::Kind::kDone, static_cast<size_t>(sent)};
    return from_ssl(SSL_get_error(ssl_.get(), sent));
  }

  bool read_wants_write() const override { return read_wants_write_; }
  void shut_down() override {
    ERR_clear_error();
    if (!broken_ && SSL_is_init_finished(ssl_.get()) != 0) SSL_shutdown(ssl_.get());
  }
  bool encrypted() const override { return true; }
  int fd() const override { return fd_.get(); }
  os::UniqueFd release() override { return std::move(fd_); }

 private:
  IoResult from_ssl(int error) {
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return {IoResult::Kind::kWait, 0};
    if (error == SSL_ERROR_ZERO_RETURN) return {IoResult::Kind::kClosed, 0};
    broken_ = true;
    ERR_clear_error();
    return {IoResult::Kind::kFailed, 0};
  }

  os::UniqueFd fd_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
  bool read_wants_write_ = false;
  bool broken_ = false;
};

}  // namespace

std::unique_ptr<Stream> tls_server_stream(os::UniqueFd fd, const TlsContext& context) {
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
  BIO_METHOD* const method = bio_method();
  if (!ssl || method == nullptr) return nullptr;
  BIO* const bio = BIO_new(method);
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd.get())));
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);
  SSL_set_accept_state(ssl.get());
  return std::make_unique<TlsStream>(std::move(fd), std::move(ssl));
}

}  // namespace pgb::net
