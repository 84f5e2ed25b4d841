// What the proxy needs of certificates: a value that a reload replaces as a whole. Connections keep what they began
// with.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "net/tls_context.h"

namespace pgb::proxy {

struct TlsSetup {
  std::shared_ptr<const net::TlsContext> to_clients;   // null: clients get no TLS
  std::shared_ptr<const net::TlsContext> to_browsers;  // of the REST interface; null: it is not encrypted
  bool required = false;                               // clients without TLS are refused
  bool certificate_required = false;                   // so are those without a certificate that can be trusted
  net::TlsToServer to_servers;
  net::TlsToServer to_ourselves;  // for a connection to our own port
};

// The setup of the moment. Thread-safe.
class TlsKeeper {
 public:
  TlsKeeper() = default;
  explicit TlsKeeper(TlsSetup setup) : setup_(std::move(setup)) {}

  TlsSetup get() const {
    const std::lock_guard lock(mutex_);
    return setup_;
  }
  void set(TlsSetup setup) {
    const std::lock_guard lock(mutex_);
    std::swap(setup_, setup);
  }

 private:
  mutable std::mutex mutex_;
  TlsSetup setup_;
};

using TlsKeeperPtr = std::shared_ptr<TlsKeeper>;

}  // namespace pgb::proxy
