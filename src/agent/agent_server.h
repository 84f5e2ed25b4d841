// The agent's HTTP interface (api/agent_api.h).
#pragma once

#include <functional>
#include <memory>

#include "agent/agent_config.h"
#include "agent/postmaster.h"
#include "agent/progress.h"
#include "api/agent_api.h"
#include "http/server.h"

namespace pgb::agent {

// How a member of a group answers another one; empty: there is no group.
using AnswerMember = std::function<api::MemberAnswer(const api::MemberQuestion&)>;

// What it knows of its group; empty: there is no group.
using Explain = std::function<api::Explanation()>;

// Serves until the result is destroyed. The arguments must outlive it. kPortInUse, kIo.
Result<std::unique_ptr<http::Server>> serve(const AgentConfig& config, const Progress& progress,
                                            const Postmaster& postmaster, AnswerMember answer = nullptr,
                                            Explain explain = nullptr);

}  // namespace pgb::agent
