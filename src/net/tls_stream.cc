// The socket is handed to OpenSSL through our own BIO so that a vanished peer is an error code, never SIGPIPE.
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "net/stream.h"

namespace pgb::net {
namespace {

// What the BIO reads from and writes to.
struct Wire {
  int fd = -1;
  std::string early;  // came before there was TLS: read first
};

Wire& wire_of(BIO* bio) { return *static_cast<Wire*>(BIO_get_data(bio)); }

bool must_retry() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

int bio_read(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  Wire& wire = wire_of(bio);
  if (!wire.early.empty() && size > 0) {
    const size_t count = std::min(wire.early.size(), static_cast<size_t>(size));
    std::memcpy(data, wire.early.data(), count);
    wire.early.erase(0, count);
    return static_cast<int>(count);
  }
  const ssize_t got = ::recv(wire.fd, data, static_cast<size_t>(size), 0);
  if (got < 0 && must_retry()) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

int bio_write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent = ::send(wire_of(bio).fd, data, static_cast<size_t>(size), MSG_NOSIGNAL);
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

// RFC 5929, section 4.1: the hash of the certificate's own signature, but SHA-256 in place of MD5 and SHA-1.
std::string end_point_of(const X509* certificate) {
  if (certificate == nullptr) return {};
  int hash = NID_undef;
  if (X509_get_signature_info(const_cast<X509*>(certificate), &hash, nullptr, nullptr, nullptr) != 1) return {};
  if (hash == NID_md5 || hash == NID_sha1) hash = NID_sha256;
  const EVP_MD* method = hash == NID_undef ? nullptr : EVP_get_digestbynid(hash);
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (method == nullptr || X509_digest(certificate, method, bytes, &size) != 1) return {};
  return std::string(reinterpret_cast<const char*>(bytes), size);
}

// Empty unless there is exactly one way to read it: a name with a zero byte inside is somebody's trick.
std::string common_name_of(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  const ASN1_STRING* text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, text);
  if (size < 0) return {};
  std::string name(reinterpret_cast<const char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  return name.find('\0') == std::string::npos ? name : std::string();
}

using SslPtr = std::unique_ptr<SSL, decltype(&SSL_free)>;

class TlsStream final : public Stream {
 public:
  TlsStream(os::UniqueFd fd, std::unique_ptr<Wire> wire, SslPtr ssl)
      : fd_(std::move(fd)), wire_(std::move(wire)), ssl_(std::move(ssl)) {}

  IoResult read(char* data, size_t size) override {
    ERR_clear_error();
    const int got = SSL_read(ssl_.get(), data, static_cast<int>(std::min<size_t>(size, INT_MAX)));
    read_wants_write_ = false;
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

  IoResult handshake() override {
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl_.get());
    read_wants_write_ = false;
    if (done == 1) return {IoResult::Kind::kDone, 0};
    const int error = SSL_get_error(ssl_.get(), done);
    read_wants_write_ = error == SSL_ERROR_WANT_WRITE;
    return from_ssl(error);
  }

  bool read_wants_write() const override { return read_wants_write_; }
  void shut_down() override {
    ERR_clear_error();
    if (!broken_ && SSL_is_init_finished(ssl_.get()) != 0) SSL_shutdown(ssl_.get());
  }
  bool encrypted() const override { return true; }
  std::string failure() const override { return failure_; }

  bool peer_verified() const override {
    const bool asked = SSL_get_verify_mode(ssl_.get()) != SSL_VERIFY_NONE;
    return asked && SSL_is_init_finished(ssl_.get()) != 0 && SSL_get0_peer_certificate(ssl_.get()) != nullptr &&
           SSL_get_verify_result(ssl_.get()) == X509_V_OK;
  }
  std::string peer_common_name() const override {
    return peer_verified() ? common_name_of(SSL_get0_peer_certificate(ssl_.get())) : std::string();
  }
  std::string end_point() const override {
    if (SSL_is_init_finished(ssl_.get()) == 0) return {};
    const bool server = SSL_is_server(ssl_.get()) != 0;
    return end_point_of(server ? SSL_get_certificate(ssl_.get()) : SSL_get0_peer_certificate(ssl_.get()));
  }
  std::string application_protocol() const override {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    return size == 0 ? std::string() : std::string(reinterpret_cast<const char*>(name), size);
  }

  int fd() const override { return fd_.get(); }
  os::UniqueFd release() override { return std::move(fd_); }

 private:
  IoResult from_ssl(int error) {
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return {IoResult::Kind::kWait, 0};
    if (error == SSL_ERROR_ZERO_RETURN) return {IoResult::Kind::kClosed, 0};
    broken_ = true;
    if (error == SSL_ERROR_SSL) note_failure();
    ERR_clear_error();
    return {IoResult::Kind::kFailed, 0};
  }

  void note_failure() {
    const long verdict = SSL_get_verify_result(ssl_.get());
    const unsigned long code = ERR_peek_error();
    const bool unverified = ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED;
    const char* reason = unverified ? X509_verify_cert_error_string(verdict) : ERR_reason_error_string(code);
    failure_ = reason == nullptr ? "TLS failed" : reason;
    if (unverified) failure_ = "its certificate is not trusted: " + failure_;
  }

  os::UniqueFd fd_;
  std::unique_ptr<Wire> wire_;
  SslPtr ssl_;
  std::string failure_;
  bool read_wants_write_ = false;
  bool broken_ = false;
};

std::unique_ptr<Stream> tls_stream(os::UniqueFd fd, SslPtr ssl, std::string early) {
  BIO_METHOD* const method = bio_method();
  if (!ssl || method == nullptr) return nullptr;
  BIO* const bio = BIO_new(method);
  if (bio == nullptr) return nullptr;
  auto wire = std::make_unique<Wire>();
  wire->fd = fd.get();
  wire->early = std::move(early);
  BIO_set_data(bio, wire.get());
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);
  return std::make_unique<TlsStream>(std::move(fd), std::move(wire), std::move(ssl));
}

bool is_ip(const std::string& host) {
  unsigned char bytes[16];
  return ::inet_pton(AF_INET, host.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

bool expect_host(SSL* ssl, const std::string& host) {
  X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (host.empty()) return false;  // would be taken for "any"
  return (is_ip(host) ? X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str())
                      : X509_VERIFY_PARAM_set1_host(wanted, host.c_str(), host.size())) == 1;
}

}  // namespace

std::unique_ptr<Stream> tls_server_stream(os::UniqueFd fd, const TlsContext& context, std::string early) {
  SslPtr ssl(SSL_new(context.get()), SSL_free);
  if (ssl) SSL_set_accept_state(ssl.get());
  return tls_stream(std::move(fd), std::move(ssl), std::move(early));
}

std::unique_ptr<Stream> tls_client_stream(os::UniqueFd fd, const TlsContext& context, const std::string& host) {
  SslPtr ssl(SSL_new(context.get()), SSL_free);
  if (!ssl) return nullptr;
  SSL_set_connect_state(ssl.get());
  if (context.verify() == TlsVerify::kHost && !expect_host(ssl.get(), host)) return nullptr;
  if (!host.empty() && !is_ip(host)) SSL_set_tlsext_host_name(ssl.get(), host.c_str());
  return tls_stream(std::move(fd), std::move(ssl), {});
}

}  // namespace pgb::net
