// The agent's HTTP interface (api/agent_api.h).
#pragma once

#include <memory>

#include "agent/agent_config.h"
#include "agent/postmaster.h"
#include "agent/progress.h"
#include "http/server.h"

namespace pgb::agent {

// Serves until the result is destroyed. The arguments must outlive it. kPortInUse, kIo.
Result<std::unique_ptr<http::Server>> serve(const AgentConfig& config, const Progress& progress,
                                            const Postmaster& postmaster);

}  // namespace pgb::agent
