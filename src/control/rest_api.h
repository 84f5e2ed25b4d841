// The balancer's REST interface: what there is (GET /api/v1/status, pools, clients, servers, routes) and what to do
// about it (POST /api/v1/control/COMMAND, /api/v1/nodes/NAME/COMMAND; see commands.h). GET /metrics is for Prometheus.
// /healthz asks for no token.
#pragma once

#include <memory>
#include <string>

#include "base/secret.h"
#include "control/commands.h"
#include "control/live_state.h"
#include "control/web_page.h"
#include "http/message.h"
#include "proxy/tls_setup.h"

namespace pgb::control {

struct RestSettings {
  Secret token;        // of operators; one is asked for everywhere but at /healthz
  Secret stats_token;  // of viewers; empty: there is none
  std::string group;
  std::string probe_host = "127.0.0.1";  // where the probe reaches our own PostgreSQL port
  std::string probe_user;
  Secret probe_password;
  std::string probe_database = "postgres";
  std::shared_ptr<const proxy::TlsKeeper> tls = std::make_shared<proxy::TlsKeeper>();
};

class RestApi {
 public:
  // The actions are called on a connection's thread.
  RestApi(RestSettings settings, Actions actions);

  // Answers any request; thread-safe. A stream of events ends before this does.
  http::Response handle(const http::Request& request) const;

  // The lease store that this process keeps; null: none (any more).
  void set_store(dcs::LocalStore* store) { live_.set_store(store); }

 private:
  struct Call {
    Arguments path;   // what stands for {…} in the route's path
    Arguments query;  // behind the question mark
    Role role = Role::kNobody;
    bool openmetrics = false;                           // it is understood by who asks
    std::optional<uint64_t> last_event = std::nullopt;  // the newest that a reader of events has had
  };
  struct Route {
    const char* method;
    const char* path;
    http::Response (RestApi::*answer)(const Call&) const;
  };
  static const std::vector<Route>& routes();
  Role role_of(const http::Request& request) const;

  http::Response healthz(const Call&) const;
  http::Response status(const Call& call) const;
  http::Response pools(const Call&) const;
  http::Response clients(const Call&) const;
  http::Response servers(const Call&) const;
  http::Response route_counts(const Call&) const;
  http::Response metrics(const Call& call) const;
  http::Response help(const Call&) const;
  http::Response command(const Call& call) const;
  http::Response snapshot(const Call& call) const;
  http::Response events(const Call& call) const;

  const RestSettings settings_;
  const Actions actions_;
  LiveState live_;
  const WebPage page_;
};

}  // namespace pgb::control
