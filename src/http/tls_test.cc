// The client against a real TLS server with a certificate made here.
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <csignal>
#include <cstdio>

#include "http/test_peers.h"

namespace pgb::http {
namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using CertPtr = std::unique_ptr<X509, Freed<X509_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Freed<SSL_free>>;

// A certificate for this address that signs itself.
struct Identity {
  KeyPtr key{EVP_EC_gen("P-256")};
  CertPtr cert{X509_new()};

  explicit Identity(const char* alternative_name, long ends_in_s = 3600) {
    X509_set_version(cert.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert.get()), ends_in_s);
    X509_set_pubkey(cert.get(), key.get());
    X509_NAME* name = X509_get_subject_name(cert.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    X509_set_issuer_name(cert.get(), name);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, alternative_name);
    X509_add_ext(cert.get(), extension, -1);
    X509_EXTENSION_free(extension);
    EXPECT_GT(X509_sign(cert.get(), key.get(), EVP_sha256()), 0);
  }

  std::string text() const {
    std::unique_ptr<BIO, Freed<BIO_free>> out(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(out.get(), cert.get());
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(out.get(), &bytes);
    return std::string(bytes, static_cast<size_t>(size));
  }

  void write(const std::string& cert_file, const std::string& key_file) const {
    std::FILE* file = std::fopen(cert_file.c_str(), "w");
    PEM_write_X509(file, cert.get());
    std::fclose(file);
    file = std::fopen(key_file.c_str(), "w");
    PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
  }
};

// Serves one connection; if it asks, it wants a certificate of the client that it trusts.
class TlsPeer {
 public:
  explicit TlsPeer(const Identity& identity, bool asks = true) : context_(SSL_CTX_new(TLS_server_method())) {
    ::signal(SIGPIPE, SIG_IGN);  // the client may go in the middle of the handshake
    SSL_CTX_use_certificate(context_.get(), identity.cert.get());
    SSL_CTX_use_PrivateKey(context_.get(), identity.key.get());
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()), identity.cert.get());
    if (asks) SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in name = {};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&name), size), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&name), &size);
    port_ = ntohs(name.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  TlsPeer(const TlsPeer&) = delete;
  TlsPeer& operator=(const TlsPeer&) = delete;
  ~TlsPeer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  uint16_t port() const { return port_; }

 private:
  void serve() {
    int fd = ::accept(listener_, nullptr, nullptr);
    if (fd < 0) return;
    SslPtr ssl(SSL_new(context_.get()));
    SSL_set_fd(ssl.get(), fd);
    char bytes[4096];
    if (SSL_accept(ssl.get()) == 1 && SSL_read(ssl.get(), bytes, sizeof bytes) > 0) {
      std::string_view answer = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret";
      SSL_write(ssl.get(), answer.data(), static_cast<int>(answer.size()));
    }
    ::close(fd);
  }

  ContextPtr context_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
};

class HttpTls : public ::testing::Test {
 protected:
  HttpTls() : dir_(temp_dir()), cert_(dir_ + "/cert.pem"), key_(dir_ + "/key.pem") {}
  ~HttpTls() override {
    ::unlink(cert_.c_str());
    ::unlink(key_.c_str());
    ::rmdir(dir_.c_str());
  }
  Endpoint endpoint(uint16_t port) const {
    Endpoint made = tcp(port);
    made.kind = Endpoint::Kind::kTls;
    made.ca_file = made.cert_file = cert_;
    made.key_file = key_;
    return made;
  }

  std::string dir_, cert_, key_;
};

TEST_F(HttpTls, BothSidesProveWhoTheyAre) {
  Identity identity("IP:127.0.0.1");
  identity.write(cert_, key_);
  TlsPeer peer(identity);
  auto response = call(endpoint(peer.port()), {}, soon());
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->body, "secret");
}

TEST_F(HttpTls, AServerOfAnotherNameIsRefused) {
  Identity identity("IP:127.0.0.2");
  identity.write(cert_, key_);
  TlsPeer peer(identity);
  auto response = call(endpoint(peer.port()), {}, soon());
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kUnreachable) << response.error().message;
}

TEST_F(HttpTls, AServerThatNobodyVouchesForIsRefused) {
  Identity other("IP:127.0.0.1"), identity("IP:127.0.0.1");
  identity.write(cert_, key_);
  TlsPeer peer(other);
  auto response = call(endpoint(peer.port()), {}, soon());
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kUnreachable) << response.error().message;
}

TEST_F(HttpTls, ACertificateThatIsKnownNeedsNoNameAndNoAuthority) {
  Identity identity("DNS:elsewhere.example", -60), other("IP:127.0.0.1");  // it has run out, too
  TlsPeer peer(identity, false);
  Endpoint to = endpoint(peer.port());
  to.cert_file.clear();
  to.key_file.clear();
  to.ca_file.clear();
  to.pinned = other.text() + identity.text();
  const auto response = call(to, {}, soon());
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->body, "secret");
}

TEST_F(HttpTls, WhoeverElseVouchesForItOnlyTheKnownCertificateCounts) {
  Identity identity("IP:127.0.0.1"), other("IP:127.0.0.1");
  identity.write(cert_, key_);
  TlsPeer peer(identity);
  Endpoint to = endpoint(peer.port());  // its authority is this very certificate
  to.pinned = other.text();
  bool sent = true;
  const auto response = call(to, {}, soon(), {nullptr, &sent});
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kUnreachable) << response.error().message;
  EXPECT_FALSE(sent);
  to.pinned = "no certificate";
  EXPECT_EQ(call(to, {}, soon()).error().code, Code::kConfig);
}

TEST_F(HttpTls, AnAbsentFileIsNamed) {
  auto response = call(endpoint(1), {}, soon());
  ASSERT_FALSE(response.ok());
  EXPECT_NE(response.error().message.find(cert_), std::string::npos) << response.error().message;
}

}  // namespace
}  // namespace pgb::http
