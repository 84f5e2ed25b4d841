#include "cluster/probe.h"

#include <charconv>
#include <cstdlib>

namespace pgb::cluster {

using pgclient::Connection;

namespace {

// pg_control_checkpoint() knows the timeline only as of the last checkpoint, hence the first two.
const char kFactsSql[] = R"(
SELECT pg_is_in_recovery() AS standby,
       split_part(current_setting('server_version'), ' ', 1) AS version,
       CASE WHEN pg_is_in_recovery()
            THEN COALESCE((SELECT received_tli FROM pg_stat_wal_receiver),
                          (SELECT timeline_id FROM pg_control_checkpoint()))::text
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int::text END AS timeline,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_flush_lsn() END AS flush,
       pg_last_wal_replay_lsn() AS replay,
       floor(extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()))::bigint AS uptime,
       CASE WHEN pg_is_in_recovery() AND pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn()
            THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000 ELSE 0 END AS replay_age,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused,
       COALESCE((SELECT status FROM pg_stat_wal_receiver), '') AS receiver,
       current_setting('synchronous_standby_names') AS sync
)";

// Positions are only known where WAL is written.
const char kFollowersSql[] = R"(
SELECT application_name AS name, state,
       CASE WHEN pg_is_in_recovery() THEN NULL
            ELSE greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint END AS lag_bytes
  FROM pg_stat_replication WHERE state <> 'backup'
)";
const char kSlotsSql[] = "SELECT slot_name AS name, active, wal_status FROM pg_replication_slots";

int64_t to_int(const std::string& text) { return std::strtoll(text.c_str(), nullptr, 10); }

ServerFacts read_facts(const pgclient::ResultSet& set) {
  ServerFacts facts;
  facts.in_recovery = set.get(0, "standby") == "t";
  facts.version = set.get(0, "version");
  facts.timeline = static_cast<int>(to_int(set.get(0, "timeline")));
  facts.flush_lsn = set.get(0, "flush");
  facts.replay_lsn = set.get(0, "replay");
  facts.uptime_s = to_int(set.get(0, "uptime"));
  facts.replay_age_ms = std::strtod(set.get(0, "replay_age").c_str(), nullptr);
  facts.replay_paused = set.get(0, "paused") == "t";
  facts.receiving = set.get(0, "receiver") == "streaming";
  facts.synchronous_standby_names = set.get(0, "sync");
  return facts;
}

void read_followers(const pgclient::ResultSet& set, ServerFacts& facts) {
  for (size_t row = 0; row < set.rows.size(); ++row) {
    Follower& follower = facts.followers[set.get(row, "name")];
    follower.state = set.get(row, "state");
    if (const std::string lag = set.get(row, "lag_bytes"); !lag.empty()) follower.lag_bytes = to_int(lag);
  }
}

void read_slots(const pgclient::ResultSet& set, ServerFacts& facts) {
  for (size_t row = 0; row < set.rows.size(); ++row) {
    Follower& slot = facts.slots[set.get(row, "name")];
    slot.slot_exists = true;
    slot.slot_active = set.get(row, "active") == "t";
    slot.wal_status = set.get(row, "wal_status");
  }
}

}  // namespace

Result<ServerFacts> probe_server(const pgclient::ConnInfo& info, Deadline deadline) {
  auto connection = Connection::open(info, deadline);
  if (!connection.ok()) return std::move(connection).error();
  auto answer = (*connection)->query(std::string(kFactsSql) + ";" + kFollowersSql + ";" + kSlotsSql, deadline);
  if (!answer.ok()) return std::move(answer).error();
  if (answer->size() != 3 || answer->at(0).rows.empty())
    return Error(Code::kProtocol, "the server's answer is not whole");
  ServerFacts facts = read_facts(answer->at(0));
  read_followers(answer->at(1), facts);
  read_slots(answer->at(2), facts);
  return facts;
}

Result<double> probe_query(const pgclient::ConnInfo& info, Deadline deadline) {
  const auto began = Deadline::Clock::now();
  auto connection = Connection::open(info, deadline);
  if (!connection.ok()) return std::move(connection).error();
  auto answer = (*connection)->query("SELECT 1", deadline);
  if (!answer.ok()) return std::move(answer).error();
  return std::chrono::duration<double, std::milli>(Deadline::Clock::now() - began).count();
}

}  // namespace pgb::cluster
