// Begins anew with what the configuration says by now.
#pragma once

#include "agent/agent_config.h"

namespace pgb::agent {

// With this process number if we can; else returns the exit code to end with, so that whoever watches us starts us
// again as root. Our server must have ended.
int start_over(const AgentConfig& config);

}  // namespace pgb::agent
