// From an empty directory to a server of ours. Every step can be cut off and done again.
#pragma once

#include <string>

#include "agent/agent_config.h"
#include "agent/data_dir.h"
#include "agent/pg_conf.h"
#include "agent/progress.h"
#include "base/deadline.h"
#include "base/result.h"

namespace pgb::agent {

// initdb into an empty directory: kMaking, then kInitialised. kTool with initdb's last lines, kDiskFull.
Status make_primary_dir(const AgentConfig& config, const std::string& bin_dir, const DataDir& dir);

// Roles, database, init SQL on the running new primary; then kReady. Init files run once each, even if
// we are killed in between: each commits together with the note that it ran. kSql names the file.
Status furnish_primary(const AgentConfig& config, const DataDir& dir);

// SQL that makes a slot which keeps WAL from now on, unless it is there. One that has lost its WAL is made anew: it
// keeps none any more, and from PostgreSQL 18 on nothing streams from it.
std::string slot_sql(const std::string& slot);

// Makes this node's slot on the server that `role` streams from, as slot_sql(). kNotReady where another try is worth
// while.
Status make_slot(const AgentConfig& config, const ServerRole& role, Deadline deadline);

// Makes the slot, copies with pg_basebackup from the server that `role` streams from; then kReady.
// kNotReady where another try is worth while (the primary is away), kTool, kDiskFull.
Status make_replica_dir(const AgentConfig& config, const std::string& bin_dir, const DataDir& dir,
                        const ServerRole& role, Progress& progress);

// Writes postgresql.conf, pg_hba.conf, the password file and, for a standby, standby.signal.
Status write_server_files(const AgentConfig& config, const DataDir& dir, const ServerRole& role);

}  // namespace pgb::agent
