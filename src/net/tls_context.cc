#include "net/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace pgb::net {
namespace {

Error tls_error(const std::string& what) {
  const unsigned long code = ERR_get_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return Error(Code::kConfig, what + ": " + (reason == nullptr ? "unknown reason" : reason))
      .with("try",
            "check that the file is PEM, readable by this process, and that key and certificate belong together");
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::server(const std::string& cert_file,
                                                             const std::string& key_file) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!context) return tls_error("cannot start TLS");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  if (SSL_CTX_use_certificate_chain_file(context.get(), cert_file.c_str()) != 1) {
    return tls_error("cannot load the certificate " + cert_file);
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return tls_error("cannot load the private key " + key_file);
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(context)));
}

}  // namespace pgb::net
