#include "http/pinned.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <memory>

namespace pgb::http {
namespace {

// In place of the whole verification: the certificates stand in the context's store, where they live as long as it.
int is_known(X509_STORE_CTX* check, void*) {
  const X509* shown = X509_STORE_CTX_get0_cert(check);
  const auto* known = X509_STORE_get0_objects(X509_STORE_CTX_get0_store(check));
  for (int i = 0; shown != nullptr && i < sk_X509_OBJECT_num(known); ++i) {
    const X509* one = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(known, i));
    if (one != nullptr && X509_cmp(one, shown) == 0) return 1;
  }
  X509_STORE_CTX_set_error(check, X509_V_ERR_CERT_UNTRUSTED);
  return 0;
}

}  // namespace

std::optional<Error> trust_only(ssl_ctx_st* context, const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                       BIO_free);
  int count = 0;
  for (;; ++count) {
    const std::unique_ptr<X509, decltype(&X509_free)> one(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr),
                                                          X509_free);
    if (!one || X509_STORE_add_cert(SSL_CTX_get_cert_store(context), one.get()) != 1) break;
  }
  ERR_clear_error();  // the text has an end
  if (count == 0) return Error(Code::kConfig, "what is to be trusted holds no certificate in PEM");
  SSL_CTX_set_cert_verify_callback(context, is_known, nullptr);
  return std::nullopt;
}

}  // namespace pgb::http
