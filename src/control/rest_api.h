// The balancer's REST interface: /healthz, /api/v1/status, /api/v1/control/reload.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/secret.h"
#include "http/message.h"
#include "proxy/admin.h"
#include "proxy/tls_setup.h"

namespace pgb::control {

struct RestSettings {
  Secret token;  // asked for everywhere but at /healthz
  std::string group;
  std::string probe_host = "127.0.0.1";  // where the probe reaches our own PostgreSQL port
  std::string probe_user;
  Secret probe_password;
  std::string probe_database = "postgres";
  std::shared_ptr<const proxy::TlsKeeper> tls = std::make_shared<proxy::TlsKeeper>();
};

class RestApi {
 public:
  // `reload` reads the configuration again; it is called on a connection's thread.
  RestApi(RestSettings settings, proxy::Admin& proxy, std::function<Status()> reload);

  // Answers any request; thread-safe.
  http::Response handle(const http::Request& request) const;

 private:
  http::Response status(bool with_probe) const;
  http::Response control_reload() const;

  const RestSettings settings_;
  proxy::Admin& proxy_;
  const std::function<Status()> reload_;
};

}  // namespace pgb::control
