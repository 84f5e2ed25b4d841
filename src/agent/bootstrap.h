// From an empty directory to a server of ours. Every step can be cut off and done again.
#pragma once

#include <string>

#include "agent/agent_config.h"
#include "agent/data_dir.h"
#include "agent/progress.h"
#include "base/result.h"

namespace pgb::agent {

// initdb into an empty directory: kMaking, then kInitialised. kTool with initdb's last lines, kDiskFull.
Status make_primary_dir(const AgentConfig& config, const std::string& bin_dir, const DataDir& dir);

// Roles, database, init SQL on the running new primary; then kReady. Init files run once each, even if
// we are killed in between: each commits together with the note that it ran. kSql names the file.
Status furnish_primary(const AgentConfig& config, const DataDir& dir);

// Waits for the primary, makes the slot unless it is there, copies with pg_basebackup; then kReady.
// kNotReady where another try is worth while (the primary is away), kTool, kDiskFull.
Status make_replica_dir(const AgentConfig& config, const std::string& bin_dir, const DataDir& dir, Progress& progress);

// Writes postgresql.conf, pg_hba.conf, the password file and, for a replica, standby.signal.
Status write_server_files(const AgentConfig& config, const DataDir& dir);

}  // namespace pgb::agent
