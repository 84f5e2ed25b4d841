// Tables in pgpool-II's manner. Where the two programs differ: pgpool-II has a process for each client and a slot for
// each connection; here the "processes" are the clients, and the "pools" the connections to servers, of one process.
#include <unistd.h>

#include <algorithm>
#include <map>

#include "control/node_numbers.h"
#include "control/text_of.h"
#include "control/views.h"

namespace pgb::control {
namespace {

Columns texts(std::initializer_list<const char*> names) {
  Columns out;
  for (const char* name : names) out.push_back({name});
  return out;
}

std::string started(const Sight& sight) { return utc(ago(sight.proxy.stats().uptime_s)); }

Rows pool_nodes(const Sight& sight) {
  Rows rows;
  for (const NodeNumbers& node : node_numbers(sight.proxy, sight.roles)) {
    rows.push_back({std::to_string(node.id), node.view.host, std::to_string(node.view.port), node.status(),
                    node.view.healthy ? "up" : "down", fixed(node.share, 6), node.role(), node.pg_role(),
                    std::to_string(node.requests), "false", std::to_string(node.behind()), node.replication_state(),
                    node.replication_sync_state(), node.changed()});
  }
  return rows;
}

Rows pool_version(const Sight&) { return {{"pgbalancer " PGB_VERSION}}; }

std::string process_status(const std::string& state) {
  if (state == "idle") return "Idle";
  if (state == "active") return "Execute command";
  if (state == "transaction") return "Idle in transaction";
  return "Wait for connection";
}

Rows pool_processes(const Sight& sight) {
  const std::string pid = std::to_string(::getpid()), start = started(sight);
  Rows rows;
  for (const proxy::ClientRow& client : sight.proxy.clients()) {
    rows.push_back({pid, start, "1", client.database, client.user, utc(ago(client.age_s)),
                    std::to_string(client.transactions), process_status(client.state)});
  }
  return rows;
}

Rows pool_pools(const Sight& sight) {
  const std::string pid = std::to_string(::getpid()), start = started(sight);
  std::map<std::string, size_t> ids;
  for (const NodeNumbers& node : node_numbers(sight.proxy)) ids[node.view.name] = node.id;
  Rows rows;
  for (const proxy::ServerRow& server : sight.proxy.servers()) {
    const bool used = server.state != "idle" && server.state != "connecting";
    rows.push_back({pid,
                    start,
                    "1",
                    std::to_string(rows.size()),
                    std::to_string(ids[server.node]),
                    server.database,
                    server.user,
                    utc(ago(server.age_s)),
                    "",
                    used ? "" : utc(ago(server.idle_s)),
                    std::to_string(static_cast<uint64_t>(server.idle_s)),
                    "3",
                    "0",
                    "1",
                    std::to_string(server.pid),
                    used ? "1" : "0",
                    process_status(server.state == "bound" ? "idle" : server.state),
                    "0",
                    "",
                    "",
                    ""});
  }
  return rows;
}

Rows pool_status(const Sight& sight) {
  Rows rows;
  for (ConfigItem& item : config_items(sight.config)) {
    std::string about = "default: " + item.fallback;
    rows.push_back({std::move(item.key), std::move(item.value), std::move(about)});
  }
  return rows;
}

Rows pool_health_check_stats(const Sight& sight) {
  Rows rows;
  for (const NodeNumbers& node : node_numbers(sight.proxy)) {
    Row row;
    for (std::string& text : node.health_check()) row.emplace_back(std::move(text));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

const std::vector<View>& pgpool_views() {
  static const std::vector<View> kViews = {
      {"pool_nodes", Role::kNobody, "the servers of the group",
       texts({"node_id", "hostname", "port", "status", "pg_status", "lb_weight", "role", "pg_role", "select_cnt",
              "load_balance_node", "replication_delay", "replication_state", "replication_sync_state",
              "last_status_change"}),
       pool_nodes},
      {"pool_version", Role::kNobody, "the balancer's version", texts({"pool_version"}), pool_version},
      {"pool_health_check_stats", Role::kNobody, "how the servers answered probes",
       texts({"node_id",
              "hostname",
              "port",
              "status",
              "role",
              "last_status_change",
              "total_count",
              "success_count",
              "fail_count",
              "skip_count",
              "retry_count",
              "average_retry_count",
              "max_retry_count",
              "max_duration",
              "min_duration",
              "average_duration",
              "last_health_check",
              "last_successful_health_check",
              "last_skip_health_check",
              "last_failed_health_check"}),
       pool_health_check_stats},
      {"pool_processes", Role::kViewer, "the clients",
       texts({"pool_pid", "start_time", "client_connection_count", "database", "username", "backend_connection_time",
              "pool_counter", "status"}),
       pool_processes},
      {"pool_pools", Role::kViewer, "the connections to servers",
       texts({"pool_pid",
              "start_time",
              "client_connection_count",
              "pool_id",
              "backend_id",
              "database",
              "username",
              "backend_connection_time",
              "client_connection_time",
              "client_disconnection_time",
              "client_idle_duration",
              "majorversion",
              "minorversion",
              "pool_counter",
              "pool_backendpid",
              "pool_connected",
              "status",
              "load_balance_node",
              "client_host",
              "client_port",
              "statement"}),
       pool_pools},
      {"pool_status", Role::kViewer, "the configuration in force", texts({"item", "value", "description"}),
       pool_status},
  };
  return kViews;
}

}  // namespace pgb::control
