// The lease store of an etcd v3 cluster, or of anything that speaks its JSON gateway.
//
// Connections are kept. A call that found nobody was certainly not executed; who ends a connection in the moment in
// which something is sent on it leaves a put or txn in doubt. It stays with the member that
// answered last and turns to the next at the first trouble; when all have failed it tries again, with growing
// pauses, until the deadline. A call that was sent and not answered is repeated elsewhere only if that does no harm
// (reads, grant, keep_alive, revoke, time_to_live); put and txn fail with kInDoubt.
// Members without a leader refuse, watches included. A watch is renewed every few seconds, for a member may
// fall silent without closing the connection.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "dcs/dcs.h"
#include "http/client.h"

namespace pgb::dcs {

struct EtcdSettings {
  std::vector<std::string> endpoints;  // "http://10.0.0.1:2379", "https://…"
  http::TlsTexts tls;                  // for https
  std::string user;                    // empty: no authentication
  Secret password;
  std::chrono::milliseconds attempt_limit{1000};  // for one member to answer
  std::chrono::milliseconds watch_renewal{5000};
};

// kConfig: no endpoint, or one that cannot be used. Does not connect.
Result<std::unique_ptr<Dcs>> make_etcd_client(EtcdSettings settings);

}  // namespace pgb::dcs
