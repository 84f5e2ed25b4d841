// What a balancer's pooler is told, in the words and units of the cluster file and of the balancer's
// own file. Limits and meaning of every key: pool_keys() in key_table.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pgb::model {

// Times in seconds; a time or a limit of zero is none.
struct PoolConfig {
  std::string pool_mode = "transaction";
  unsigned pool_size = 20;
  unsigned min_pool_size = 0;
  unsigned reserve_pool_size = 0;
  double reserve_pool_timeout = 5;
  unsigned max_clients = 1000;
  unsigned max_user_clients = 0;
  unsigned max_database_clients = 0;
  double query_wait_timeout = 120;
  double primary_wait_timeout = 10;
  double query_timeout = 0;
  double client_idle_timeout = 0;
  double idle_transaction_timeout = 0;
  double server_idle_timeout = 600;
  double server_lifetime = 3600;
  double server_check_delay = 30;
  unsigned max_prepared_statements = 200;
  std::string causal_reads = "session";
  double max_replica_lag = 10;
  uint64_t max_replica_lag_bytes = 0;
  double log_slow_queries = 0;
  unsigned threads = 0;
  std::string scheduling = "batch";
  std::string io_uring = "auto";

  bool operator==(const PoolConfig&) const = default;
};

// Calls visit("key", member) for every member, in the order of the key table: whoever reads or writes
// a PoolConfig does it with this, so that no key is forgotten.
template <class Config, class Visit>
void each_pool_key(Config& config, Visit visit) {
  visit("pool_mode", config.pool_mode);
  visit("pool_size", config.pool_size);
  visit("min_pool_size", config.min_pool_size);
  visit("reserve_pool_size", config.reserve_pool_size);
  visit("reserve_pool_timeout", config.reserve_pool_timeout);
  visit("max_clients", config.max_clients);
  visit("max_user_clients", config.max_user_clients);
  visit("max_database_clients", config.max_database_clients);
  visit("query_wait_timeout", config.query_wait_timeout);
  visit("primary_wait_timeout", config.primary_wait_timeout);
  visit("query_timeout", config.query_timeout);
  visit("client_idle_timeout", config.client_idle_timeout);
  visit("idle_transaction_timeout", config.idle_transaction_timeout);
  visit("server_idle_timeout", config.server_idle_timeout);
  visit("server_lifetime", config.server_lifetime);
  visit("server_check_delay", config.server_check_delay);
  visit("max_prepared_statements", config.max_prepared_statements);
  visit("causal_reads", config.causal_reads);
  visit("max_replica_lag", config.max_replica_lag);
  visit("max_replica_lag_bytes", config.max_replica_lag_bytes);
  visit("log_slow_queries", config.log_slow_queries);
  visit("threads", config.threads);
  visit("scheduling", config.scheduling);
  visit("io_uring", config.io_uring);
}

// What is different for some databases and users. Of several that fit the first counts, for what it says.
struct PoolEntry {
  std::string database, user;  // empty: any
  std::optional<std::string> pool_mode = std::nullopt;
  std::optional<unsigned> pool_size = std::nullopt, min_pool_size = std::nullopt, reserve_pool_size = std::nullopt;
  bool operator==(const PoolEntry&) const = default;
};

// Calls visit("key", optional member) for everything that an entry may say; the keys are those of a PoolConfig.
template <class Entry, class Visit>
void each_pool_entry_key(Entry& entry, Visit visit) {
  visit("pool_mode", entry.pool_mode);
  visit("pool_size", entry.pool_size);
  visit("min_pool_size", entry.min_pool_size);
  visit("reserve_pool_size", entry.reserve_pool_size);
}

// Why two of its values do not go together; `key` is the one to blame. Empty if they do.
struct PoolConflict {
  std::string key;
  std::string text;
};
PoolConflict conflict_in(const PoolConfig& config);
// Likewise of entries[at], among those before it and with what `config` says where it says nothing.
PoolConflict conflict_in(const PoolConfig& config, const std::vector<PoolEntry>& entries, size_t at);

}  // namespace pgb::model
