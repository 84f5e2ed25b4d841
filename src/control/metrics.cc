#include "control/metrics.h"

#include <openssl/crypto.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <utility>
#include <vector>

#include "control/group_metrics.h"
#include "control/metric_text.h"
#include "control/node_numbers.h"

namespace pgb::control {
namespace {

using Type = MetricText::Type;
using proxy::Traffic;

constexpr size_t kMostDatabases = 100, kMostPools = 200, kMostUsers = 100;
constexpr char kOther[] = "(other)";

double number(uint64_t value) { return static_cast<double>(value); }
double seconds(uint64_t us) { return static_cast<double>(us) / 1e6; }

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// Since Linux 6.2 the kernel has the number at hand. To read the directory costs more than all other metrics together
// once there are thousands.
uint64_t open_descriptors() {
  struct stat folder = {};
  if (::stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0) return static_cast<uint64_t>(folder.st_size);
  std::error_code failed;
  uint64_t count = 0;
  for (auto entry = std::filesystem::directory_iterator("/proc/self/fd", failed);
       !failed && entry != std::filesystem::directory_iterator(); entry.increment(failed)) {
    ++count;
  }
  return count;
}

uint64_t resident_bytes() {
  unsigned long long size = 0, resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  const bool read = std::fscanf(file, "%llu %llu", &size, &resident) == 2;
  std::fclose(file);
  return read ? resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

void write_process(MetricText& out, const proxy::Stats& stats) {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  rlimit files = {};
  ::getrlimit(RLIMIT_NOFILE, &files);
  const auto now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  out.one(Type::kCounter, "process_cpu_seconds", "Processor time of the balancer, in user and system mode.",
          seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
  out.one(Type::kGauge, "process_resident_memory_bytes", "Memory of the balancer that is in RAM.",
          number(resident_bytes()));
  out.one(Type::kGauge, "process_open_fds", "Open file descriptors of the balancer.", number(open_descriptors()));
  out.one(Type::kGauge, "process_max_fds", "How many file descriptors it may open.", number(files.rlim_cur));
  out.one(Type::kGauge, "process_start_time_seconds", "When the balancer was started, since the epoch.",
          now - stats.uptime_s);
}

void write_whole(MetricText& out, const proxy::Admin& proxy, const proxy::Stats& stats) {
  const proxy::OrdersPtr orders = proxy.orders();
  out.begin(Type::kGauge, "pgbalancer_build_info",
            "Always 1; the versions of the balancer and of its OpenSSL are labels.");
  out.add(1, {{"version", PGB_VERSION}, {"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)}});
  out.one(Type::kGauge, "pgbalancer_client_connections", "Connections of clients, those that log in included.",
          number(stats.connections));
  out.one(Type::kGauge, "pgbalancer_clients", "Clients that have logged in.", number(stats.clients));
  out.one(Type::kGauge, "pgbalancer_max_clients", "How many clients may be logged in.", number(stats.max_clients));
  out.one(Type::kGauge, "pgbalancer_server_connections", "Connections to servers.", number(stats.servers));
  out.one(Type::kCounter, "pgbalancer_logins_refused", "Logins that were refused, for whatever reason.",
          number(stats.refused_total));
  out.one(Type::kCounter, "pgbalancer_client_receive_bytes", "Bytes that came from clients.",
          number(stats.bytes_from_clients));
  out.one(Type::kCounter, "pgbalancer_server_receive_bytes", "Bytes that came from servers.",
          number(stats.bytes_from_servers));
  out.one(Type::kCounter, "pgbalancer_server_waits", "Requests that found no free server.", number(stats.waits));
  out.one(Type::kCounter, "pgbalancer_pins", "Sessions that were bound to their server.", number(stats.pins));
  out.one(Type::kGauge, "pgbalancer_paused", "1 if all databases are paused.", orders->paused ? 1 : 0);
  out.one(Type::kGauge, "pgbalancer_paused_databases", "Databases that are paused by themselves.",
          number(orders->paused_databases.size()));
  out.one(Type::kGauge, "pgbalancer_shutting_down", "1 if the balancer ends and takes no more clients.",
          orders->finishing ? 1 : 0);
  out.one(Type::kCounter, "pgbalancer_topology_changes", "Changes of role or health of some node.",
          number(proxy.topology()->version));
}

// The names behind the rows whose traffic is counted by itself; the rest goes under kOther.
template <class Key>
void keep_the_busiest(std::map<Key, proxy::TrafficRow>& rows, size_t most, const Key& other) {
  if (rows.size() <= most) return;
  std::vector<std::pair<uint64_t, Key>> order;
  for (const auto& [key, row] : rows) order.emplace_back(row.traffic.requests, key);
  std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(most), order.end(), std::greater<>());
  proxy::TrafficRow rest;
  for (size_t i = most; i < order.size(); ++i) {
    const auto found = rows.find(order[i].second);
    rest.add(found->second);
    rows.erase(found);
  }
  rows[other].add(rest);  // which may be one of the busiest
}

struct Number {
  const char* of_database;
  const char* of_user;  // null: there is none
  const char* help;
  double (*value)(const Traffic&);
};

constexpr Number kCounters[] = {
    {"pgbalancer_database_logins", "pgbalancer_user_logins", "Clients that logged in.",
     [](const Traffic& t) { return number(t.logins); }},
    {"pgbalancer_database_requests", "pgbalancer_user_requests", "Requests answered.",
     [](const Traffic& t) { return number(t.requests); }},
    {"pgbalancer_database_transactions", "pgbalancer_user_transactions", "Servers given back by clients.",
     [](const Traffic& t) { return number(t.transactions); }},
    {"pgbalancer_database_server_assignments", nullptr, "Servers given to clients.",
     [](const Traffic& t) { return number(t.assignments); }},
    {"pgbalancer_database_client_receive_bytes", "pgbalancer_user_client_receive_bytes",
     "Bytes that came from clients.", [](const Traffic& t) { return number(t.bytes_from_clients); }},
    {"pgbalancer_database_client_transmit_bytes", "pgbalancer_user_client_transmit_bytes",
     "Bytes of servers' answers to clients.", [](const Traffic& t) { return number(t.bytes_to_clients); }},
    {"pgbalancer_database_transaction_seconds", "pgbalancer_user_transaction_seconds",
     "Time for which clients had servers.", [](const Traffic& t) { return seconds(t.transaction_us); }},
    {"pgbalancer_database_server_wait_seconds", "pgbalancer_user_server_wait_seconds",
     "Time for which clients waited for servers.", [](const Traffic& t) { return seconds(t.wait_us); }},
    {"pgbalancer_database_client_parses", nullptr, "Statements that clients prepared.",
     [](const Traffic& t) { return number(t.client_parses); }},
    {"pgbalancer_database_server_parses", nullptr, "Statements that were prepared on servers for that.",
     [](const Traffic& t) { return number(t.server_parses); }},
    {"pgbalancer_database_binds", nullptr, "Prepared statements that were bound.",
     [](const Traffic& t) { return number(t.binds); }},
};

void write_databases(MetricText& out, const std::vector<proxy::TrafficRow>& rows) {
  std::map<std::string, proxy::TrafficRow> databases;
  for (const proxy::TrafficRow& row : rows) databases[row.database.empty() ? kOther : row.database].add(row);
  keep_the_busiest(databases, kMostDatabases, std::string(kOther));
  for (const Number& counter : kCounters) {
    out.begin(Type::kCounter, counter.of_database, counter.help);
    for (const auto& [name, row] : databases) out.add(counter.value(row.traffic), {{"database", name}});
  }
  out.begin(Type::kHistogram, "pgbalancer_database_request_duration_seconds",
            "From the last byte of a request to the end of its answer, waiting included.");
  for (const auto& [name, row] : databases) out.add(row.traffic.latency, {{"database", name}});
}

void write_users(MetricText& out, const std::vector<proxy::TrafficRow>& rows) {
  std::map<std::string, proxy::TrafficRow> users;
  for (const proxy::TrafficRow& row : rows) users[row.user.empty() ? kOther : row.user].add(row);
  keep_the_busiest(users, kMostUsers, std::string(kOther));
  for (const Number& counter : kCounters) {
    if (counter.of_user == nullptr) continue;
    out.begin(Type::kCounter, counter.of_user, counter.help);
    for (const auto& [name, row] : users) out.add(counter.value(row.traffic), {{"user", name}});
  }
}

void write_pools(MetricText& out, const std::vector<proxy::TrafficRow>& rows) {
  using Key = std::pair<std::string, std::string>;
  std::map<Key, proxy::TrafficRow> pools;
  for (const proxy::TrafficRow& row : rows) {
    if (!row.user.empty()) pools[{row.database, row.user}].add(row);
  }
  keep_the_busiest(pools, kMostPools, Key(kOther, kOther));
  const auto gauge = [&](const char* name, const char* help, auto value) {
    out.begin(Type::kGauge, name, help);
    for (const auto& [key, row] : pools) out.add(value(row), {{"database", key.first}, {"user", key.second}});
  };
  gauge("pgbalancer_pool_clients", "Clients of the pool.", [](const auto& row) { return number(row.clients); });
  gauge("pgbalancer_pool_waiting_clients", "Clients that wait for a server.",
        [](const auto& row) { return number(row.waiting); });
  gauge("pgbalancer_pool_longest_wait_seconds", "How long the client that is first in the queue has waited.",
        [](const auto& row) { return row.longest_wait_s; });
  out.begin(Type::kGauge, "pgbalancer_pool_servers", "Connections to servers, by what they do.");
  for (const auto& [key, row] : pools) {
    const std::pair<const char*, uint64_t> states[] = {
        {"active", row.active}, {"bound", row.bound}, {"idle", row.idle}, {"connecting", row.connecting}};
    for (const auto& [state, count] : states) {
      out.add(number(count), {{"database", key.first}, {"user", key.second}, {"state", state}});
    }
  }
}

void write_nodes(MetricText& out, const proxy::Stats& stats, const std::vector<NodeNumbers>& nodes) {
  const auto each = [&](Type type, const char* name, const char* help, auto value) {
    out.begin(type, name, help);
    for (const NodeNumbers& node : nodes) out.add(value(node), {{"node", node.view.name}});
  };
  each(Type::kGauge, "pgbalancer_node_up", "1 if the node answers queries.",
       [](const NodeNumbers& node) { return node.view.healthy ? 1.0 : 0.0; });
  each(Type::kGauge, "pgbalancer_node_primary", "1 if the node answers as the primary.",
       [](const NodeNumbers& node) { return node.is_primary() ? 1.0 : 0.0; });
  each(Type::kGauge, "pgbalancer_node_drained", "1 if an operator's order keeps work from the node.",
       [](const NodeNumbers& node) { return node.view.gauge->drained ? 1.0 : 0.0; });
  each(Type::kGauge, "pgbalancer_node_weight", "Its share of the reads, as configured.",
       [](const NodeNumbers& node) { return node.view.weight; });
  out.begin(Type::kGauge, "pgbalancer_node_replication_lag_bytes",
            "Of the primary's log, not yet replayed when last asked; absent where the node does not answer.");
  for (const NodeNumbers& node : nodes) {
    if (node.view.healthy) out.add(number(node.behind()), {{"node", node.view.name}});
  }
  out.begin(Type::kGauge, "pgbalancer_node_replication_lag_seconds",
            "Age of the newest state that it is known to have; absent where none is known.");
  for (const NodeNumbers& node : nodes) {
    const auto lag = node.view.healthy ? node.behind_seconds() : std::nullopt;
    if (lag) out.add(*lag, {{"node", node.view.name}});
  }
  each(Type::kGauge, "pgbalancer_node_busy_servers", "Connections to the node that work for a client.",
       [](const NodeNumbers& node) { return number(node.view.gauge->busy); });
  each(Type::kGauge, "pgbalancer_node_server_connections", "Connections to the node.",
       [](const NodeNumbers& node) { return number(node.servers); });
  each(Type::kCounter, "pgbalancer_node_server_connections_opened", "Connections to the node that were ever made.",
       [&](const NodeNumbers& node) {
         const auto found = stats.nodes.find(node.view.name);
         return found == stats.nodes.end() ? 0.0 : number(found->second.sessions_total);
       });
  out.begin(Type::kCounter, "pgbalancer_node_probes", "Questions asked to see how the node is, by what came of them.");
  for (const NodeNumbers& node : nodes) {
    out.add(number(node.view.gauge->probes.good), {{"node", node.view.name}, {"result", "answered"}});
    out.add(number(node.view.gauge->probes.bad), {{"node", node.view.name}, {"result", "failed"}});
  }
  each(Type::kCounter, "pgbalancer_node_probe_seconds", "Time for which answers to them were waited for.",
       [](const NodeNumbers& node) { return seconds(node.view.gauge->probes.sum_us); });
}

void write_work(MetricText& out, const proxy::Counted& counted) {
  out.begin(Type::kHistogram, "pgbalancer_node_request_duration_seconds",
            "From the last byte of a request to the end of the node's answer, waiting included.");
  for (const proxy::LatencyRow& row : counted.latencies) out.add(row.latency, {{"node", row.node}});
  out.begin(Type::kCounter, "pgbalancer_routed_requests", "Where requests were sent, and why.");
  for (const proxy::RouteRow& row : counted.routes) {
    out.add(number(row.requests), {{"node", row.node}, {"reason", row.reason}});
  }
  std::map<std::pair<std::string, std::string>, uint64_t> verdicts;
  for (const proxy::VerdictRow& row : counted.verdicts) verdicts[{row.node, row.verdict}] += row.requests;
  out.begin(Type::kCounter, "pgbalancer_routed_verdicts", "What requests were taken for, and where they were sent.");
  for (const auto& [key, requests] : verdicts) {
    out.add(number(requests), {{"node", key.first}, {"verdict", key.second}});
  }
}

}  // namespace

std::string metrics_of(const proxy::Admin& proxy, const LiveState::RoleNumbers& roles, bool openmetrics) {
  MetricText out(openmetrics);
  const proxy::Stats stats = proxy.stats();
  const proxy::Counted counted = proxy.counted();
  write_whole(out, proxy, stats);
  write_databases(out, counted.traffic);
  write_users(out, counted.traffic);
  write_pools(out, counted.traffic);
  const std::vector<NodeNumbers> nodes = node_numbers(proxy, stats, counted.routes);
  write_nodes(out, stats, nodes);
  write_work(out, counted);
  write_group(out, nodes, roles);
  write_servers(out, nodes);
  write_process(out, stats);
  return out.finish();
}

}  // namespace pgb::control
