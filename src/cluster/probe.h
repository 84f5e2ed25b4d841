// Asks one server, or one balancer, by SQL.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "pgclient/connection.h"

namespace pgb::cluster {

// A replica as its primary sees it (pg_stat_replication, pg_replication_slots).
struct Follower {
  std::string state;  // "streaming", "catchup", "backup"; empty: not connected
  std::optional<int64_t> lag_bytes;
  bool slot_exists = false;
  bool slot_active = false;
  std::string wal_status;  // of the slot: reserved, extended, unreserved, lost
};

// What a server says about itself.
struct ServerFacts {
  bool in_recovery = false;
  std::string version;
  int timeline = 0;
  std::string flush_lsn, replay_lsn;
  int64_t uptime_s = 0;
  double replay_age_ms = 0;  // replica: since the last transaction it replayed; 0 when it has all it received
  bool replay_paused = false;
  bool receiving = false;  // replica: its WAL receiver is streaming
  std::string synchronous_standby_names;
  std::map<std::string, Follower> followers;  // primary: by application_name
  std::map<std::string, Follower> slots;      // primary: by slot name
};

// kUnreachable, kTimeout, kAuth, kSql, as pgclient says.
Result<ServerFacts> probe_server(const pgclient::ConnInfo& info, Deadline deadline);

// Milliseconds that connecting and SELECT 1 took.
Result<double> probe_query(const pgclient::ConnInfo& info, Deadline deadline);

}  // namespace pgb::cluster
