// The texts of a server's configuration files. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/agent_config.h"

namespace pgb::agent {

// 'it''s' for postgresql.conf (chapter 20.1.2).
std::string conf_quote(std::string_view value);

// postgresql.conf: the user's parameters and, on a replica, where to stream from. The password is
// in the passfile, never here.
std::string render_conf(const AgentConfig& config, const std::string& passfile);

// pg_hba.conf: SCRAM only, replication for the replication user alone.
std::string render_hba(const AgentConfig& config);

// One line for libpq's password file, for replication connections to the primary.
std::string render_passfile(const AgentConfig& config);

// postgres' arguments after the program's name: what a user's ALTER SYSTEM must not override.
std::vector<std::string> server_arguments(const AgentConfig& config);

}  // namespace pgb::agent
