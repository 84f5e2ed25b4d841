// What a pool tells about its servers.
#include <algorithm>

#include "proxy/pool.h"

namespace pgb::proxy {

const char* Pool::state_of(const Server& server) {
  if (server.state() != Server::State::kReady) return "connecting";
  if (server.user() == nullptr) return "idle";
  if (server.idle()) return "bound";
  return server.quiet() ? "transaction" : "active";
}

void Pool::count_taken(const std::string& node, uint64_t& busy, uint64_t& bound) const {
  for (const auto& server : servers_) {
    if (!node.empty() && server->node().name != node) continue;
    if (server->state() == Server::State::kReady && server->idle()) {
      bound += server->user() != nullptr ? 1 : 0;
    } else {
      ++busy;
    }
  }
}

void Pool::list(std::vector<PoolRow>& pools) const {
  for (const auto& branch : branches_) {
    PoolRow row;
    row.database = database_;
    row.user = user_;
    row.node = branch->node.name;
    row.waiting = branch->waiting.size();
    if (!branch->waiting.empty()) {
      row.longest_wait_s = static_cast<double>(context_.now_ns() - branch->waiting.front().second) / 1e9;
    }
    for (const auto& server : servers_) {
      if (server->node().address() != branch->node.address()) continue;
      const std::string_view state = state_of(*server);
      ++(state == "connecting" ? row.connecting
         : state == "idle"     ? row.idle
         : state == "bound"    ? row.bound
                               : row.active);
    }
    pools.push_back(std::move(row));
  }
}

void Pool::list(std::vector<ServerRow>& servers) const {
  const auto now = context_.loop.now();
  const auto seconds = [now](auto since) { return std::chrono::duration<double>(now - since).count(); };
  for (const auto& server : servers_) {
    ServerRow row;
    row.user = user_;
    row.database = database_;
    row.node = server->node().name;
    row.address = server->node().address();
    row.state = state_of(*server);
    row.pid = server->pid();
    row.tls = server->tls().required;
    row.retiring = server->retire;
    row.age_s = seconds(server->made);
    row.idle_s = server->user() == nullptr ? seconds(server->idle_since) : 0;
    row.prepared = server->prepared();
    servers.push_back(std::move(row));
  }
}

TrafficRow Pool::traffic_row() const {
  TrafficRow row;
  row.database = database_;
  row.user = user_;
  row.clients = sessions;
  row.traffic = traffic;
  std::vector<PoolRow> parts;
  list(parts);
  for (const PoolRow& part : parts) {
    row.waiting += part.waiting;
    row.active += part.active;
    row.bound += part.bound;
    row.idle += part.idle;
    row.connecting += part.connecting;
    row.longest_wait_s = std::max(row.longest_wait_s, part.longest_wait_s);
  }
  return row;
}

// Names that were only tried, and never got a server, are not kept.
void Pools::remember(const Pool& pool) {
  constexpr size_t kMostDatabases = 1000;
  if (pool.traffic.logins == 0) return;
  const bool room = past_.size() < kMostDatabases || past_.count(pool.database()) != 0;
  past_[room ? pool.database() : std::string()] += pool.traffic;
}

void Pools::list(std::vector<TrafficRow>& rows) const {
  for (const auto& [key, pool] : pools_) rows.push_back(pool->traffic_row());
  for (const auto& [database, traffic] : past_) {
    TrafficRow row;
    row.database = database;
    row.traffic = traffic;
    rows.push_back(std::move(row));
  }
}

}  // namespace pgb::proxy
