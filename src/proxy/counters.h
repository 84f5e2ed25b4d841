// The numbers behind Stats, shared by all threads of a proxy.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "proxy/admin.h"

namespace pgb::proxy {

struct Counters {
  std::atomic<uint64_t> clients{0};
  std::atomic<uint64_t> max_clients{0};
  std::atomic<uint64_t> servers{0};
  std::atomic<uint64_t> sessions_total{0};
  std::atomic<uint64_t> refused_total{0};
  std::atomic<uint64_t> bytes_from_clients{0};
  std::atomic<uint64_t> bytes_from_servers{0};

  // Takes a client's place; false when all are taken.
  bool take_client() {
    if (clients.fetch_add(1) < max_clients) return true;
    --clients;
    return false;
  }
  void server_opened(const std::string& node) {
    ++servers;
    ++sessions_total;
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
  std::map<std::string, Stats::Node> nodes_;  // guarded by mutex_
};

}  // namespace pgb::proxy
