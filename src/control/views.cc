#include "control/views.h"

#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "control/stats_views.h"
#include "control/text_of.h"

namespace pgb::control {
namespace {

using Type = proxy::ConsoleColumn::Type;

std::string number(uint64_t value) { return std::to_string(value); }

// "name:i" is an int, "name:b" a bigint, anything else text: PgBouncer's types, but for its numeric, which are bigint.
Columns columns(std::initializer_list<const char*> names) {
  Columns out;
  for (const std::string name : names) {
    const size_t colon = name.find(':');
    const Type type = colon == std::string::npos ? Type::kText : name[colon + 1] == 'i' ? Type::kInt : Type::kBigint;
    out.push_back({name.substr(0, colon), type});
  }
  return out;
}

const char* mode_name(proxy::PoolMode mode) {
  return mode == proxy::PoolMode::kSession     ? "session"
         : mode == proxy::PoolMode::kStatement ? "statement"
                                               : "transaction";
}

std::string whole_seconds(double seconds) { return number(static_cast<uint64_t>(std::floor(seconds))); }
std::string micros_of(double seconds) {
  return number(static_cast<uint64_t>(std::fmod(std::max(seconds, 0.0), 1.0) * 1e6));
}

// One of PgBouncer's words for each of ours.
std::string client_state(const std::string& state) {
  if (state == "idle") return "idle";
  if (state == "waiting" || state == "paused") return "waiting";
  return state == "login" || state == "closing" ? state : "active";
}
std::string server_state(const std::string& state) {
  if (state == "idle") return "idle";
  return state == "connecting" ? "new" : "active";
}

const Columns kSocketColumns =
    columns({"type",         "user",         "database",   "replication",      "state",
             "addr",         "port:i",       "local_addr", "local_port:i",     "connect_time",
             "request_time", "wait:i",       "wait_us:i",  "close_needed:i",   "ptr",
             "link",         "remote_pid:i", "tls",        "application_name", "prepared_statements:i",
             "id:i"});

Rows clients(const Sight& sight) {
  Rows rows;
  uint64_t id = 0;
  for (const proxy::ClientRow& row : sight.proxy.clients()) {
    const auto [host, port] = host_and_port(row.address);
    rows.push_back({"C",
                    row.user,
                    row.database,
                    "none",
                    client_state(row.state),
                    host,
                    port,
                    sight.config.listen_address,
                    number(sight.proxy.port()),
                    utc(ago(row.age_s)) + " UTC",
                    utc(ago(row.idle_s)) + " UTC",
                    whole_seconds(row.waiting_s),
                    micros_of(row.waiting_s),
                    "0",
                    row.id,
                    row.node,
                    "0",
                    row.tls ? "TLS" : "",
                    row.application_name,
                    number(row.prepared),
                    number(++id)});
  }
  return rows;
}

Rows servers(const Sight& sight) {
  Rows rows;
  uint64_t id = 0;
  for (const proxy::ServerRow& row : sight.proxy.servers()) {
    const auto [host, port] = host_and_port(row.address);
    rows.push_back({"S",
                    row.user,
                    row.database,
                    "none",
                    server_state(row.state),
                    host,
                    port,
                    "",
                    "0",
                    utc(ago(row.age_s)) + " UTC",
                    utc(ago(row.idle_s)) + " UTC",
                    "0",
                    "0",
                    row.retiring ? "1" : "0",
                    row.node + "/" + number(row.pid),
                    "",
                    number(row.pid),
                    row.tls ? "TLS" : "",
                    "",
                    number(row.prepared),
                    number(++id)});
  }
  return rows;
}

Rows pools(const Sight& sight) {
  Rows rows;
  const proxy::PoolSettings settings = sight.proxy.pool_settings();
  for (const proxy::TrafficRow& row : sight.proxy.traffic()) {
    if (row.user.empty()) continue;
    rows.push_back({row.database, row.user, number(row.clients - std::min(row.clients, row.waiting)),
                    number(row.waiting), "0", "0", number(row.active + row.bound), "0", "0", number(row.idle), "0", "0",
                    number(row.connecting), whole_seconds(row.longest_wait_s), micros_of(row.longest_wait_s),
                    mode_name(settings.of(row.database, row.user).mode), std::nullopt});
  }
  return rows;
}

struct Use {  // of a database or by a user
  uint64_t servers = 0, clients = 0;
};

Use use_of(const proxy::TrafficRow& row) { return {row.active + row.bound + row.idle + row.connecting, row.clients}; }

Rows databases(const Sight& sight) {
  const proxy::PoolSettings settings = sight.proxy.pool_settings();
  const proxy::OrdersPtr orders = sight.proxy.orders();
  const proxy::TopologyPtr topology = sight.proxy.topology();
  const proxy::NodeView* primary = topology->primary();
  std::map<std::string, Use> uses;
  for (const proxy::TrafficRow& row : sight.proxy.traffic()) {
    if (row.database.empty()) continue;
    Use& use = uses[row.database];
    const Use more = use_of(row);
    use.servers += more.servers;
    use.clients += more.clients;
  }
  for (const std::string& paused : orders->paused_databases) uses[paused];
  Rows rows;
  for (const auto& [name, use] : uses) {
    const proxy::PoolLimits limits = settings.of(name, "");  // of users that none is different for
    rows.push_back({name, primary == nullptr ? Row::value_type() : primary->host,
                    number(primary == nullptr ? 0 : primary->port), name, std::nullopt, number(limits.pool_size),
                    number(limits.min_pool_size), number(limits.reserve_pool_size),
                    number(static_cast<uint64_t>(settings.server_lifetime.count() / 1000)), mode_name(limits.mode),
                    std::nullopt, "0", number(use.servers), number(settings.max_database_clients), number(use.clients),
                    orders->pauses(name) ? "1" : "0", "0"});
  }
  return rows;
}

Rows users(const Sight& sight) {
  const proxy::PoolSettings settings = sight.proxy.pool_settings();
  std::map<std::string, Use> uses;
  for (const proxy::TrafficRow& row : sight.proxy.traffic()) {
    if (row.user.empty()) continue;
    Use& use = uses[row.user];
    use.servers += use_of(row).servers;
    use.clients += row.clients;
  }
  Rows rows;
  for (const auto& [name, use] : uses) {
    rows.push_back(
        {name, "", "", std::nullopt, "0", number(use.servers), number(settings.max_user_clients), number(use.clients)});
  }
  return rows;
}

Rows lists(const Sight& sight) {
  const proxy::Stats stats = sight.proxy.stats();
  std::set<std::string> databases, users;
  uint64_t pools = 0;
  for (const proxy::TrafficRow& row : sight.proxy.traffic()) {
    if (!row.database.empty()) databases.insert(row.database);
    if (row.user.empty()) continue;
    users.insert(row.user);
    ++pools;
  }
  const std::pair<const char*, uint64_t> items[] = {
      {"databases", databases.size()},
      {"users", users.size()},
      {"peers", 0},
      {"pools", pools},
      {"peer_pools", 0},
      {"free_clients", 0},
      {"used_clients", stats.clients},
      {"login_clients", stats.connections - std::min(stats.connections, stats.clients)},
      {"free_servers", 0},
      {"used_servers", stats.servers},
      {"dns_names", 0},
      {"dns_zones", 0},
      {"dns_queries", 0},
      {"dns_pending", 0},
  };
  Rows rows;
  for (const auto& [name, items_of] : items) rows.push_back({name, number(items_of)});
  return rows;
}

Rows config(const Sight& sight) {
  Rows rows;
  for (ConfigItem& item : config_items(sight.config)) {
    rows.push_back(
        {std::move(item.key), std::move(item.value), std::move(item.fallback), item.changeable ? "yes" : "no"});
  }
  return rows;
}

// What reads it goes by PgBouncer's version: whose columns these are.
Rows version(const Sight&) { return {{"PgBouncer 1.25.0, spoken by pgbalancer " PGB_VERSION}}; }

Rows state(const Sight& sight) {
  const bool paused = sight.proxy.orders()->paused;
  return {{"active", paused ? "no" : "yes"}, {"paused", paused ? "yes" : "no"}, {"suspended", "no"}};
}

Rows memory(const Sight&) {
  const struct mallinfo2 info = ::mallinfo2();
  return {{"heap", "1", number(info.uordblks + info.hblkhd), number(info.fordblks), number(info.arena + info.hblkhd)}};
}

Rows nothing(const Sight&) { return {}; }
Rows one(const Sight&) { return {{"1"}}; }

// --- what PgBouncer has not

Rows nodes(const Sight& sight) {
  const proxy::Stats stats = sight.proxy.stats();
  Rows rows;
  const proxy::TopologyPtr topology = sight.proxy.topology();
  for (const proxy::NodeView& node : topology->nodes) {
    const auto found = stats.nodes.find(node.name);
    rows.push_back({node.name, node.host, number(node.port), proxy::to_string(node.role_now()),
                    node.healthy ? "yes" : "no", node.gauge->drained ? "yes" : "no", fixed(node.weight, 3),
                    number(node.gauge->behind_bytes), number(node.gauge->busy),
                    number(found == stats.nodes.end() ? 0 : found->second.servers), number(node.gauge->latency_us),
                    node.last_error});
  }
  return rows;
}

Rows routes(const Sight& sight) {
  Rows rows;
  for (const proxy::RouteRow& row : sight.proxy.routes()) rows.push_back({row.node, row.reason, number(row.requests)});
  return rows;
}

Rows verdicts(const Sight& sight) {
  Rows rows;
  for (const proxy::VerdictRow& row : sight.proxy.verdicts()) {
    rows.push_back({row.verdict, row.node, row.reason, number(row.requests)});
  }
  return rows;
}

}  // namespace

const std::vector<View>& console_views() {
  static const std::vector<View> kViews = {
      {"clients", Role::kViewer, "each client", kSocketColumns, clients},
      {"config", Role::kViewer, "the configuration in force", columns({"key", "value", "default", "changeable"}),
       config},
      {"databases", Role::kViewer, "databases that were asked for",
       columns({"name", "host", "port:i", "database", "force_user", "pool_size:i", "min_pool_size:i",
                "reserve_pool_size:i", "server_lifetime:i", "pool_mode", "load_balance_hosts", "max_connections:i",
                "current_connections:i", "max_client_connections:i", "current_client_connections:i", "paused:i",
                "disabled:i"}),
       databases},
      {"lists", Role::kViewer, "how many there are of everything", columns({"list", "items:i"}), lists},
      {"mem", Role::kViewer, "memory of the balancer", columns({"name", "size:i", "used:b", "free:b", "memtotal:b"}),
       memory},
      {"nodes", Role::kViewer, "the servers of the group",
       columns({"name", "host", "port:i", "role", "healthy", "drained", "weight", "behind_bytes:b", "busy:i",
                "servers:i", "latency_us:i", "last_error"}),
       nodes},
      {"peers", Role::kViewer, "none: balancers are no peers of each other",
       columns({"peer_id:i", "host", "port:i", "pool_size:i"}), nothing},
      {"peer_pools", Role::kViewer, "none",
       columns({"peer_id:i", "cl_active_cancel_req:i", "cl_waiting_cancel_req:i", "sv_active_cancel:i", "sv_login:i"}),
       nothing},
      {"pools", Role::kViewer, "clients and servers by database and user",
       columns({"database", "user", "cl_active:i", "cl_waiting:i", "cl_active_cancel_req:i", "cl_waiting_cancel_req:i",
                "sv_active:i", "sv_active_cancel:i", "sv_being_canceled:i", "sv_idle:i", "sv_used:i", "sv_tested:i",
                "sv_login:i", "maxwait:i", "maxwait_us:i", "pool_mode", "load_balance_hosts"}),
       pools},
      {"routes", Role::kViewer, "where requests went, and why", columns({"node", "reason", "requests:b"}), routes},
      {"servers", Role::kViewer, "each connection to a server", kSocketColumns, servers},
      {"state", Role::kViewer, "whether all is paused", columns({"key", "value"}), state},
      {"stats", Role::kViewer, "totals and averages by database", stats_columns(), stats},
      {"stats_averages", Role::kViewer, "averages of the last full minute by database",
       columns({"database", "server_assignment_count:b", "xact_count:b", "query_count:b", "bytes_received:b",
                "bytes_sent:b", "xact_time:b", "query_time:b", "wait_time:b", "avg_client_parse_count:b",
                "avg_server_parse_count:b", "avg_bind_count:b", "avg_client_login_count:b"}),
       stats_averages},
      {"stats_totals", Role::kViewer, "totals by database",
       columns({"database", "server_assignment_count:b", "xact_count:b", "query_count:b", "bytes_received:b",
                "bytes_sent:b", "xact_time:b", "query_time:b", "wait_time:b", "client_parse_count:b",
                "server_parse_count:b", "bind_count:b", "client_login_count:b"}),
       stats_totals},
      {"totals", Role::kViewer, "totals and averages of all databases", columns({"name", "value:b"}), totals},
      {"users", Role::kViewer, "users that were there",
       columns({"name", "pool_size", "reserve_pool_size", "pool_mode", "max_user_connections:i",
                "current_connections:i", "max_user_client_connections:i", "current_client_connections:i"}),
       users},
      {"verdicts", Role::kViewer, "what requests were taken for, where those went, and why",
       columns({"verdict", "node", "reason", "requests:b"}), verdicts},
      {"version", Role::kViewer, "whose columns these are, and the balancer's version", columns({"version"}), version},
      {"dns_hosts", Role::kViewer, "none: addresses are numbers", columns({"hostname", "ttl:b", "addrs"}), nothing},
      {"dns_zones", Role::kViewer, "none", columns({"zonename", "serial:b", "count:i"}), nothing},
      {"1", Role::kViewer, "", columns({"?column?:i"}), one},
  };
  return kViews;
}

const View* find_view(const std::vector<View>& views, std::string_view name) {
  const auto found = std::find_if(views.begin(), views.end(), [&](const View& view) { return view.name == name; });
  return found == views.end() ? nullptr : &*found;
}

}  // namespace pgb::control
