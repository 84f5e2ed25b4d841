// What a proxy is told at its start, and what a reload may change (PoolSettings).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "proxy/hba_rules.h"
#include "proxy/probe_bell.h"
#include "proxy/tls_setup.h"

namespace pgb::proxy {

enum class PoolMode : uint8_t {
  kSession,      // a server belongs to a client until it leaves
  kTransaction,  // until its transaction ends, unless the session holds state that only that server has
  kStatement,    // until its statement ends; explicit transactions are refused
};

enum class CausalReads : uint8_t {
  kOff,      // a replica answers as far as it has got
  kSession,  // no session reads older than what it wrote itself
  kGlobal,   // no session reads older than what any session wrote through this balancer
};

// Of one database and user.
struct PoolLimits {
  PoolMode mode = PoolMode::kTransaction;
  unsigned pool_size = 20;         // servers per node, over all threads
  unsigned min_pool_size = 0;      // kept open while the pool is used
  unsigned reserve_pool_size = 0;  // more servers for clients that wait longer than reserve_after
  bool operator==(const PoolLimits&) const = default;
};

// What is different for some of them.
struct PoolRule {
  std::string database, user;  // empty: any
  std::optional<PoolMode> mode = std::nullopt;
  std::optional<unsigned> pool_size = std::nullopt, min_pool_size = std::nullopt, reserve_pool_size = std::nullopt;
  bool fits(const std::string& one_database, const std::string& one_user) const {
    return (database.empty() || database == one_database) && (user.empty() || user == one_user);
  }
  bool operator==(const PoolRule&) const = default;
};

// May change while the proxy runs. A time of zero switches the limit off.
struct PoolSettings : PoolLimits {
  std::vector<PoolRule> rules;  // the first that fits counts, for what it says
  std::chrono::milliseconds reserve_after{5'000};
  unsigned max_clients = 64;                               // logged in or logging in
  unsigned max_user_clients = 0;                           // of one user; 0: no limit of its own
  unsigned max_database_clients = 0;                       // of one database
  std::chrono::milliseconds query_wait_timeout{120'000};   // for a free server
  std::chrono::milliseconds primary_wait_timeout{10'000};  // for a primary, while there is none
  std::chrono::milliseconds query_timeout{0};              // for a server's answer
  std::chrono::milliseconds client_idle_timeout{0};
  std::chrono::milliseconds idle_transaction_timeout{0};
  std::chrono::milliseconds server_idle_timeout{600'000};
  std::chrono::milliseconds server_lifetime{3'600'000};
  std::chrono::milliseconds server_check_after{30'000};  // idle longer: asked for a sign of life before use
  unsigned max_prepared = 200;                           // prepared statements kept on one server; 0: not tracked
  bool read_write_split = true;
  CausalReads causal_reads = CausalReads::kSession;
  std::chrono::milliseconds max_replica_lag{10'000};  // a replica further behind gets no reads
  uint64_t max_replica_lag_bytes = 0;                 // 0: no limit in bytes
  std::chrono::milliseconds log_slow_queries{0};      // slower ones are logged
  bool log_connections = false;                       // clients that come and go are logged
  bool operator==(const PoolSettings&) const = default;

  PoolLimits of(const std::string& database, const std::string& user) const {
    PoolLimits limits = *this;
    for (const PoolRule& rule : rules) {
      if (!rule.fits(database, user)) continue;
      limits.mode = rule.mode.value_or(limits.mode);
      limits.pool_size = rule.pool_size.value_or(limits.pool_size);
      limits.min_pool_size = rule.min_pool_size.value_or(limits.min_pool_size);
      limits.reserve_pool_size = rule.reserve_pool_size.value_or(limits.reserve_pool_size);
      break;
    }
    return limits;
  }
};

struct Settings {
  std::string group;
  std::string listen_address = "0.0.0.0";
  uint16_t port = 9999;          // 0 takes a free one
  unsigned threads = 0;          // 0: one for two cores
  bool batch_scheduling = true;  // SCHED_BATCH: no thread pushes another off its core when it wakes up (sched(7))
  bool io_uring = true;          // where the kernel lets us
  PoolSettings pool;
  std::string auth_user = "pgbalancer";  // asks the servers for other users' verifiers
  Secret auth_password;
  std::string auth_database = "postgres";
  std::string auth_query;  // with $1 for the user's name; empty: pgbalancer.get_auth($1)
  // Users that need not be asked for: a password, a SCRAM-SHA-256 verifier, or an md5 hash. A verifier must be the
  // servers' own, for its keys log in there.
  std::map<std::string, Secret> users;
  HbaRulesPtr hba;  // null: everyone may log in, by SCRAM-SHA-256
  TlsKeeperPtr tls = std::make_shared<TlsKeeper>();
  ProbeBellPtr bell = std::make_shared<ProbeBell>();  // the health monitor's, too

  std::chrono::milliseconds login_timeout{60'000};   // from accept to the end of authentication
  std::chrono::milliseconds server_timeout{10'000};  // to find a primary and log in there
  std::chrono::milliseconds connect_timeout{3'000};  // one attempt
};

}  // namespace pgb::proxy
