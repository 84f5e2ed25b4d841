// What the control surfaces may see of the proxy and do with it. Every call is thread-safe; those that wait do so on
// the caller's thread only.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "proxy/orders.h"
#include "proxy/settings.h"
#include "proxy/topology_snapshot.h"
#include "proxy/traffic.h"
#include "proxy/user_secret.h"

namespace pgb::proxy {

struct Stats {
  double uptime_s = 0;
  uint64_t connections = 0;  // of clients, those that do not log in or are about to leave included
  uint64_t clients = 0;      // that have logged in
  uint64_t max_clients = 0;
  uint64_t threads = 0;         // that serve clients
  uint64_t servers = 0;         // connections to servers
  uint64_t sessions_total = 0;  // that ever reached a server
  uint64_t refused_total = 0;   // logins that were refused, for whatever reason
  uint64_t bytes_from_clients = 0;
  uint64_t bytes_from_servers = 0;
  uint64_t transactions = 0;  // servers given back to their pool
  uint64_t to_primary = 0;    // requests, by where they were routed
  uint64_t to_replicas = 0;
  uint64_t waits = 0;          // requests that found no free server
  uint64_t pins = 0;           // sessions that were bound to their server
  uint64_t server_parses = 0;  // prepared statements made on servers
  struct Node {
    uint64_t servers = 0;
    uint64_t sessions_total = 0;
  };
  std::map<std::string, Node> nodes;  // by name; those that were ever connected to
};

struct PoolRow {  // of one database and user on one node, over all threads
  std::string database, user, node;
  uint64_t active = 0;      // servers that work for a client, or are in its transaction
  uint64_t bound = 0;       // kept by clients that do nothing at the moment
  uint64_t idle = 0;        // free
  uint64_t connecting = 0;  // not logged in yet
  uint64_t waiting = 0;     // clients
  double longest_wait_s = 0;
};

struct ClientRow {
  std::string id;  // as long as the session lasts
  std::string user, database, address;
  std::string state;  // "login", "idle", "active", "transaction", "waiting", "paused", "closing"
  std::string node;   // of the server that it has; empty: none
  std::string bound;  // why it keeps that server; empty: it does not
  bool tls = false;
  double age_s = 0;
  double idle_s = 0;          // since its last byte, or the end of its last request
  uint64_t transactions = 0;  // begun
  double waiting_s = 0;       // for a server or for the end of a pause
  std::string application_name;
  uint64_t prepared = 0;  // statements of its own
};

struct ServerRow {
  std::string user, database, node, address;
  std::string state;  // "connecting", "idle", "active", "transaction", "bound"
  uint32_t pid = 0;   // of its process on the node
  bool tls = false;
  bool retiring = false;  // closed as soon as it is free
  double age_s = 0;
  double idle_s = 0;  // of a free one
  uint64_t prepared = 0;
};

struct RouteRow {
  std::string node, reason;
  uint64_t requests = 0;
};

struct VerdictRow {
  std::string verdict;  // what requests were taken for: "reads", "writes", …
  std::string node, reason;
  uint64_t requests = 0;
};

struct TrafficRow {  // of one database and user, over all threads and nodes
  std::string database;
  std::string user;  // empty: of all whose pools are gone since
  uint64_t clients = 0;
  uint64_t waiting = 0;  // of the clients
  uint64_t active = 0;   // servers, as in PoolRow
  uint64_t bound = 0;
  uint64_t idle = 0;
  uint64_t connecting = 0;
  double longest_wait_s = 0;
  Traffic traffic;

  void add(const TrafficRow& other) {  // its numbers
    clients += other.clients;
    waiting += other.waiting;
    active += other.active;
    bound += other.bound;
    idle += other.idle;
    connecting += other.connecting;
    longest_wait_s = std::max(longest_wait_s, other.longest_wait_s);
    traffic += other.traffic;
  }
};

struct LatencyRow {
  std::string node;
  Latency latency;  // of requests that it answered
};

// What the threads are asked for together, each once.
struct Counted {
  std::chrono::steady_clock::time_point at;  // of no later moment
  std::vector<PoolRow> pools;
  std::vector<RouteRow> routes;  // most requests first
  std::vector<TrafficRow> traffic;
  std::vector<LatencyRow> latencies;
  std::vector<VerdictRow> verdicts;  // the same requests as `routes`, most first
};

// What became of a command.
struct Outcome {
  bool done = true;    // false: it holds, but has not taken full effect within the time that was given
  std::string text;    // what happened, for people
  uint64_t busy = 0;   // servers concerned that still work
  uint64_t bound = 0;  // servers concerned that stay with their clients, which do nothing at the moment
  uint64_t ended = 0;  // clients whose sessions were ended
};

struct CacheRow {  // what is known of the statements of one database, over all threads
  std::string database;
  uint64_t entries = 0, bytes = 0;
  uint64_t hits = 0, misses = 0;  // a miss: the text was parsed
};

class Admin {
 public:
  using Time = std::chrono::milliseconds;

  virtual ~Admin() = default;
  virtual Stats stats() const = 0;
  virtual TopologyPtr topology() const = 0;
  // Hands over a new topology: sessions that wait for a primary go on, others are not disturbed.
  virtual void apply(TopologyPtr snapshot) = 0;
  // Changes limits and modes; connections that exist are not disturbed.
  virtual void set_pool(const PoolSettings& settings) = 0;
  virtual PoolSettings pool_settings() const = 0;
  virtual uint16_t port() const = 0;

  // Of pools, routes, traffic and latencies: as they are now; those of the last second, while there is so much to do
  // that whoever looks would have to wait.
  virtual std::vector<PoolRow> pools() const = 0;
  virtual std::vector<ClientRow> clients() const = 0;
  virtual std::vector<ServerRow> servers() const = 0;
  virtual std::vector<RouteRow> routes() const = 0;      // most requests first
  virtual std::vector<VerdictRow> verdicts() const = 0;  // likewise

  virtual std::vector<TrafficRow> traffic() const = 0;
  virtual std::vector<LatencyRow> latencies() const = 0;
  virtual std::vector<CacheRow> caches() const = 0;
  // Every text is parsed anew when it comes next, and the catalogue asked again. An empty `database` is all of them.
  virtual Outcome forget_statements(const std::string& database) = 0;

  // What checks that user's password, as the configuration or a server says; empty: there is no such user, or he has no
  // password. While no server answers, what one has said within the last hour. kNotReady or what a server said: nobody
  // could be asked within `wait`.
  virtual Result<UserSecret> secret_of(const std::string& user, Time wait) = 0;

  virtual OrdersPtr orders() const = 0;
  // Transactions under way end, servers are closed as they become free, new work waits for resume(), for
  // query_wait_timeout at most. Waits up to `wait` for the last transaction. An empty `database` is all of them.
  // kBusy, as of the next three: another process takes over at this moment, or has; it is the one to be told.
  virtual Result<Outcome> pause(const std::string& database, Time wait) = 0;
  // kUsage for one database while all are paused. An empty `database` ends every pause.
  virtual Result<Outcome> resume(const std::string& database) = 0;
  // No new work for that node, its servers are closed as they become free. Clients that still have one after `limit`
  // lose their sessions. kNoNode if there is no such node.
  virtual Result<Outcome> drain(const std::string& node, std::optional<Time> limit, Time wait) = 0;
  virtual Result<Outcome> undrain(const std::string& node) = 0;
  // Every server of that node and database (empty: of all) is closed as soon as it is free. kNoNode.
  virtual Result<Outcome> reconnect(const std::string& node, const std::string& database, Time wait) = 0;
  // Waits for the end of those that are to be closed already.
  virtual Outcome wait_close(const std::string& node, const std::string& database, Time wait) = 0;
  // Ends the session of that client, which stands in clients(). kNotFound.
  virtual Result<Outcome> kill_client(const std::string& id) = 0;
  // Ends the sessions of all clients of that database.
  virtual Outcome kill(const std::string& database) = 0;
  // Takes no more clients, ends sessions as soon as they are in no transaction. Over when stats().connections is 0.
  virtual void finish() = 0;

  // Pools, routes, traffic and latencies, asked for together, and when: who tells how much happened since must know.
  virtual Counted counted() const {
    const auto at = std::chrono::steady_clock::now();
    return {at, pools(), routes(), traffic(), latencies(), verdicts()};
  }
};

}  // namespace pgb::proxy
