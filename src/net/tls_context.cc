#include "net/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace pgb::net {
namespace {

using Context = std::shared_ptr<SSL_CTX>;

// Length-prefixed, as the handshake has it.
constexpr unsigned char kProtocols[] = "\x0apostgresql";
constexpr unsigned kProtocolsSize = sizeof kProtocols - 1;

Error tls_error(const std::string& what) {
  const unsigned long code = ERR_get_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return Error(Code::kConfig, what + ": " + (reason == nullptr ? "unknown reason" : reason))
      .with("try",
            "check that the file is PEM, readable by this process, and that key and certificate belong together");
}

// A key with a passphrase is an error, not a question at the terminal.
int no_passphrase(char*, int, int, void*) { return 0; }

// Who offers protocols must offer ours: what was meant for another service does not reach this one.
int select_protocol(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* offered,
                    unsigned offered_size, void*) {
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, size, kProtocols, kProtocolsSize, offered, offered_size);
  if (found != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Context new_context(const SSL_METHOD* method) {
  Context context(SSL_CTX_new(method), SSL_CTX_free);
  if (!context) return context;
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(context.get(), no_passphrase);
  return context;
}

Status use_certificate(const Context& context, const std::string& cert_file, const std::string& key_file) {
  if (SSL_CTX_use_certificate_chain_file(context.get(), cert_file.c_str()) != 1) {
    return tls_error("cannot load the certificate " + cert_file);
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return tls_error("cannot load the private key " + key_file);
  }
  return Status();
}

Status use_authorities(const Context& context, const std::string& ca_file) {
  if (SSL_CTX_load_verify_locations(context.get(), ca_file.c_str(), nullptr) == 1) return Status();
  return tls_error("cannot load the certificate authorities of " + ca_file);
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::server(const std::string& cert_file, const std::string& key_file,
                                                             const std::string& ca_file) {
  Context context = new_context(TLS_server_method());
  if (!context) return tls_error("cannot start TLS");
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_alpn_select_cb(context.get(), select_protocol, nullptr);
  PGB_TRY(use_certificate(context, cert_file, key_file));
  if (!ca_file.empty()) {
    PGB_TRY(use_authorities(context, ca_file));
    auto* names = SSL_load_client_CA_file(ca_file.c_str());  // so that a client with several can choose
    if (names == nullptr) return tls_error("cannot load the certificate authorities of " + ca_file);
    SSL_CTX_set_client_CA_list(context.get(), names);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(context)));
}

Result<std::shared_ptr<const TlsContext>> TlsContext::web_server(const std::string& cert_file,
                                                                 const std::string& key_file) {
  Context context = new_context(TLS_server_method());
  if (!context) return tls_error("cannot start TLS");
  PGB_TRY(use_certificate(context, cert_file, key_file));
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(context)));
}

Result<std::shared_ptr<const TlsContext>> TlsContext::client(const TlsClientFiles& files) {
  Context context = new_context(TLS_client_method());
  if (!context) return tls_error("cannot start TLS");
  SSL_CTX_set_alpn_protos(context.get(), kProtocols, kProtocolsSize);
  if (!files.cert_file.empty()) PGB_TRY(use_certificate(context, files.cert_file, files.key_file));
  if (files.verify != TlsVerify::kNothing) {
    PGB_TRY(use_authorities(context, files.ca_file));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(context), files.verify));
}

}  // namespace pgb::net
