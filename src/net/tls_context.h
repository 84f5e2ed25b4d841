// The server's certificate and key, loaded once and shared by all sessions (read-only).
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

struct ssl_ctx_st;

namespace pgb::net {

class TlsContext {
 public:
  // Loads a PEM certificate chain and its private key; TLS 1.2 or newer. kConfig names the file and
  // the reason.
  static Result<std::shared_ptr<const TlsContext>> server(const std::string& cert_file, const std::string& key_file);

  ssl_ctx_st* get() const { return context_.get(); }

 private:
  explicit TlsContext(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}
  std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace pgb::net
