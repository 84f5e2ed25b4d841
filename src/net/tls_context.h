// Certificates, keys and what is asked of the peer: loaded once and shared by all connections (read-only).
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

struct ssl_ctx_st;

namespace pgb::net {

inline constexpr char kPostgresProtocol[] = "postgresql";  // its ALPN name

// What a server's certificate is held against.
enum class TlsVerify {
  kNothing,  // any certificate will do
  kChain,    // it must be signed by an authority of the CA file
  kHost,     // and be for the host that was meant
};

struct TlsClientFiles {
  TlsVerify verify = TlsVerify::kNothing;
  std::string ca_file;    // PEM; needed unless nothing is verified
  std::string cert_file;  // shown to servers that ask for one; both or none
  std::string key_file;
};

class TlsContext {
 public:
  // For those who accept connections: a PEM certificate chain and its private key; TLS 1.2 or newer. With a
  // `ca_file` clients are asked for a certificate: one that it does not vouch for is refused in the handshake, none at
  // all is not (Stream::peer_verified). kConfig names the file and the reason.
  static Result<std::shared_ptr<const TlsContext>> server(const std::string& cert_file, const std::string& key_file,
                                                          const std::string& ca_file = {});
  // The same for what is no PostgreSQL: no client is asked for a certificate, no protocol named.
  static Result<std::shared_ptr<const TlsContext>> web_server(const std::string& cert_file,
                                                              const std::string& key_file);
  // For those who connect. kConfig likewise.
  static Result<std::shared_ptr<const TlsContext>> client(const TlsClientFiles& files);

  ssl_ctx_st* get() const { return context_.get(); }
  std::shared_ptr<ssl_ctx_st> share() const { return context_; }
  TlsVerify verify() const { return verify_; }  // of a client's

 private:
  explicit TlsContext(std::shared_ptr<ssl_ctx_st> context, TlsVerify verify = TlsVerify::kNothing)
      : context_(std::move(context)), verify_(verify) {}
  std::shared_ptr<ssl_ctx_st> context_;
  TlsVerify verify_;
};

// How a connection to a server is to be encrypted.
struct TlsToServer {
  std::shared_ptr<const TlsContext> context;  // null: not at all
  bool required = false;                      // false: plain when the server offers no TLS
};

}  // namespace pgb::net
