// The agent: one PostgreSQL server from an empty directory to its orderly end.
#pragma once

#include "agent/agent_config.h"

namespace pgb::agent {

// Runs until SIGTERM or SIGINT; the exit code of the program. Blocks signals: call it from main, before
// any thread. As root it becomes config.run_as_user first.
int run(const AgentConfig& config);

// Asks the running agent of this configuration; 0 if its server is healthy. For container health checks.
int health(const AgentConfig& config);

}  // namespace pgb::agent
