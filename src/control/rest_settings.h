// What the REST interface is told once, when it starts.
#pragma once

#include <memory>
#include <string>

#include "base/secret.h"
#include "proxy/tls_setup.h"

namespace pgb::control {

struct RestSettings {
  Secret token;        // of operators
  Secret stats_token;  // of viewers; empty: there is none
  std::string group;
  std::string cluster = {};              // that it belongs to; empty: it runs alone
  std::string probe_host = "127.0.0.1";  // where the probe reaches our own PostgreSQL port
  std::string probe_user;
  Secret probe_password;
  std::string probe_database = "postgres";
  std::shared_ptr<const proxy::TlsKeeper> tls = std::make_shared<proxy::TlsKeeper>();
  Secret token_key = {};     // with which the process before signed tokens; empty: there is a new one
  bool local_reads = false;  // it listens on a loopback address, and whoever asks from there may look without a token
};

}  // namespace pgb::control
