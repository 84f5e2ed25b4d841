// What a server says of itself now and then, beside the question that is asked all the time: nothing that work is
// routed by.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "pgclient/connection.h"

namespace pgb::proxy {

struct ServerBasics {
  struct Slot {  // for replication
    std::string name;
    bool active = false;
    uint64_t retained_bytes = 0;  // of the log, kept for whoever reads from it
  };
  std::string version;   // "17.5"
  double started_s = 0;  // when the server was started, in seconds since the epoch
  uint64_t connections = 0,
           max_connections = 0;  // of clients, whoever they are; neither replicas nor workers are among them
  std::vector<Slot> slots;       // those that keep most first, kMostSlots at most
  int64_t asked_ns = 0;          // steady clock
  std::optional<std::set<std::string>> databases = {};  // all that take connections; nothing: more than kMostDatabases

  static constexpr size_t kMostSlots = 20, kMostDatabases = 1000;
};

// One round trip. kSql if the server does not want to tell, or works on one of its parts for more than 100 ms: the
// connection can be used on; else as Connection::query().
Result<ServerBasics> ask_basics(pgclient::Connection& connection, Deadline deadline);

// The newest, from one thread to any others.
class BasicsBox {
 public:
  using Ptr = std::shared_ptr<const ServerBasics>;
  void put(ServerBasics basics) {
    auto next = std::make_shared<const ServerBasics>(std::move(basics));
    const std::lock_guard lock(mutex_);
    newest_ = std::move(next);
  }
  Ptr get() const {  // null: nothing yet
    const std::lock_guard lock(mutex_);
    return newest_;
  }

 private:
  mutable std::mutex mutex_;
  Ptr newest_;  // guarded by mutex_
};

}  // namespace pgb::proxy
