// What a proxy is told at its start.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/secret.h"
#include "net/tls_context.h"

namespace pgb::proxy {

struct Settings {
  std::string group;
  std::string listen_address = "0.0.0.0";
  uint16_t port = 9999;  // 0 takes a free one
  unsigned threads = 0;  // 0: one a core
  unsigned max_clients = 64;
  std::string auth_user = "pgbalancer";  // asks the servers for other users' verifiers
  Secret auth_password;
  std::string auth_database = "postgres";
  std::shared_ptr<const net::TlsContext> tls;  // null: clients get no TLS

  std::chrono::milliseconds login_timeout{60'000};   // from accept to the end of authentication
  std::chrono::milliseconds server_timeout{10'000};  // to find a primary and log in there
  std::chrono::milliseconds connect_timeout{3'000};  // one attempt
};

}  // namespace pgb::proxy
