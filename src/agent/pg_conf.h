// The texts of a server's configuration files. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/agent_config.h"
#include "agent/wal_room.h"

namespace pgb::agent {

// 'it''s' for postgresql.conf (chapter 20.1.2).
std::string conf_quote(std::string_view value);

// What a server is to be.
struct ServerRole {
  bool standby = false;
  std::string host;  // standby: whom it streams from; empty: nobody
  uint16_t port = 0;
  std::string slot;
  std::string sync_names;        // synchronous_standby_names
  std::string retry = "500ms";   // standby: between two tries to stream
  uint64_t slot_wal = kSlotWal;  // bytes that it keeps for members that are away, unless the user says
};
ServerRole role_of(const AgentConfig& config);  // as the file says, without a lease store

// For libpq, of connections that last: one whose other end is gone without a word, or cut off, ends within 15 seconds.
inline constexpr std::string_view kNoticesSilence =
    "keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=15000";

// postgresql.conf: the user's parameters and, on a replica, where to stream from. The password is
// in the passfile, never here.
std::string render_conf(const AgentConfig& config, const std::string& passfile, const ServerRole& role);

// postgresql.auto.conf without what is ours to set: it would override us.
std::string without_ours(const std::string& auto_conf);

// pg_hba.conf: SCRAM only, replication for the replication user alone.
std::string render_hba(const AgentConfig& config);

// One line for libpq's password file, for replication connections to the primary.
std::string render_passfile(const AgentConfig& config);

// postgres' arguments after the program's name: what a user's ALTER SYSTEM must not override.
std::vector<std::string> server_arguments(const AgentConfig& config);

}  // namespace pgb::agent
