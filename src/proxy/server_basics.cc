#include "proxy/server_basics.h"

#include <chrono>
#include <cstdlib>

namespace pgb::proxy {
namespace {

// What anybody may ask. pg_stat_get_activity() rather than the view upon it, which looks up names. A slot that was
// never read from keeps nothing. Workers and replication have places of their own, beside max_connections; who may not
// see of what kind the processes of others are, counts them by what they all show.
// A server that is slow about it says so with an error, after which the connection is as it was: the limit goes with
// the question.
constexpr char kQuestion[] =
    "SET LOCAL statement_timeout = 100; "
    "SELECT current_setting('server_version') AS version, current_setting('max_connections') AS most, "
    "extract(epoch FROM pg_postmaster_start_time()) AS started, "
    "(SELECT count(*) FROM pg_stat_get_activity(NULL) WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND "
    "coalesce(backend_type, 'client backend') = 'client backend') AS connections; "
    "SELECT datname AS name FROM pg_database WHERE datallowconn LIMIT ";
constexpr char kSlots[] =
    "; SELECT slot_name AS name, active, greatest(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
    "ELSE pg_current_wal_insert_lsn() END - restart_lsn, 0)::int8 AS retained FROM pg_replication_slots "
    "WHERE restart_lsn IS NOT NULL ORDER BY 3 DESC, 1 LIMIT ";

uint64_t number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 10); }

}  // namespace

Result<ServerBasics> ask_basics(pgclient::Connection& connection, Deadline deadline) {
  const auto asked = std::chrono::steady_clock::now().time_since_epoch();
  auto results = connection.query(
      kQuestion + std::to_string(ServerBasics::kMostDatabases + 1) + kSlots + std::to_string(ServerBasics::kMostSlots),
      deadline);
  if (!results) return std::move(results).error();
  if (results->size() != 4 || (*results)[1].rows.size() != 1) {
    return Error(Code::kProtocol, "no answer to the question for connections, databases and slots");
  }
  const pgclient::ResultSet& server = (*results)[1];
  const pgclient::ResultSet& databases = (*results)[2];
  const pgclient::ResultSet& slots = (*results)[3];
  ServerBasics basics;
  const std::string version = server.get(0, "version");
  basics.version = version.substr(0, version.find(' '));  // "17.5 (Debian 17.5-1)"
  basics.started_s = std::strtod(server.get(0, "started").c_str(), nullptr);
  basics.connections = number(server.get(0, "connections"));
  basics.max_connections = number(server.get(0, "most"));
  if (databases.rows.size() <= ServerBasics::kMostDatabases) {
    basics.databases.emplace();
    for (size_t i = 0; i < databases.rows.size(); ++i) basics.databases->insert(databases.get(i, "name"));
  }
  for (size_t i = 0; i < slots.rows.size(); ++i) {
    basics.slots.push_back({slots.get(i, "name"), slots.get(i, "active") == "t", number(slots.get(i, "retained"))});
  }
  basics.asked_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(asked).count();
  return basics;
}

}  // namespace pgb::proxy
