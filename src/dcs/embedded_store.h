// The lease store for clusters that have no etcd: a durable LocalStore behind the same JSON interface, so that clients
// need not know the difference. One process, one copy: while it is down nobody can take over, and leaderships end.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/secret.h"
#include "dcs/local_store.h"

namespace pgb::dcs {

struct EmbeddedSettings {
  std::string directory;              // for the log; made if absent
  std::string address = "127.0.0.1";  // an IP address
  uint16_t port = 2379;               // 0 takes a free one
  std::string user;                   // empty: whoever reaches the port may do everything
  Secret password;
};

class EmbeddedStore {
 public:
  // Opens the store, then serves it. Errors: LocalStore::open's, kPortInUse, kIo.
  static Result<std::unique_ptr<EmbeddedStore>> start(EmbeddedSettings settings);

  virtual ~EmbeddedStore() = default;  // ends watches and waits for running requests
  virtual uint16_t port() const = 0;
  virtual LocalStore& store() = 0;  // for use in this process, at no round trip
};

}  // namespace pgb::dcs
