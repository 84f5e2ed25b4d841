// The numbers behind Stats. Counters are shared by all threads of a proxy; what is counted for every message stands
// in a reactor's own ReactorStats, written by its thread alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "proxy/admin.h"

namespace pgb::proxy {

// A number that one thread writes and any may read.
class Tally {
 public:
  Tally& operator+=(uint64_t more) {
    value_.store(value_.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
    return *this;
  }
  void operator++() { *this += 1; }
  operator uint64_t() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct alignas(64) ReactorStats {
  Tally bytes_from_clients, bytes_from_servers;
  Tally transactions;             // servers given back, one way or the other
  Tally to_primary, to_replicas;  // batches routed
  Tally waits;                    // a client found no free server
  Tally pins;                     // sessions that were bound to their server
  Tally server_parses;            // prepared statements made on servers
};

// A time of the last write that no replica catches up with.
inline constexpr int64_t kNeverCaughtUp = INT64_MAX;

struct Counters {
  std::atomic<uint64_t> connections{0};
  std::atomic<uint64_t> clients{0};
  std::atomic<uint64_t> max_clients{0};
  std::atomic<uint64_t> servers{0};
  std::atomic<uint64_t> sessions_total{0};
  std::atomic<uint64_t> refused_total{0};
  std::atomic<uint64_t> catalog_changes{0};
  std::atomic<int64_t> last_write_ns{0};  // of any session: for causal_reads = global
  std::atomic<int64_t> last_read_ns{0};   // when some session wanted a replica, to a tenth of a second

  // Takes a client's place; false when all are taken.
  bool take_client() {
    if (clients.fetch_add(1) < max_clients) return true;
    --clients;
    return false;
  }
  // A place of the user's and of the database's own, where they have limits (0: none). Nothing is taken on failure.
  enum class Place { kTaken, kUserFull, kDatabaseFull };
  Place take_place(const std::string& user, const std::string& database, unsigned user_limit, unsigned database_limit) {
    const std::lock_guard lock(mutex_);
    const auto full = [](const auto& taken, const std::string& name, unsigned limit) {
      const auto found = taken.find(name);
      return limit > 0 && found != taken.end() && found->second >= limit;
    };
    if (full(users_, user, user_limit)) return Place::kUserFull;
    if (full(databases_, database, database_limit)) return Place::kDatabaseFull;
    ++users_[user];
    ++databases_[database];
    return Place::kTaken;
  }
  bool has_clients(const std::string& database) const {
    const std::lock_guard lock(mutex_);
    return databases_.count(database) != 0;
  }
  void leave_place(const std::string& user, const std::string& database) {
    const std::lock_guard lock(mutex_);
    if (--users_[user] == 0) users_.erase(user);
    if (--databases_[database] == 0) databases_.erase(database);
  }
  void server_opened(const std::string& node) {
    ++servers;
    const std::lock_guard lock(mutex_);
    ++nodes_[node].servers;
    ++nodes_[node].sessions_total;
  }
  void server_closed(const std::string& node) {
    --servers;
    const std::lock_guard lock(mutex_);
    --nodes_[node].servers;
  }
  std::map<std::string, Stats::Node> nodes() const {
    const std::lock_guard lock(mutex_);
    return nodes_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Stats::Node> nodes_;  // guarded by mutex_, like the next two
  std::map<std::string, unsigned> users_, databases_;
};

}  // namespace pgb::proxy
