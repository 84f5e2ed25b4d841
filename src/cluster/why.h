// Why a group has no leader, or who could follow the one it has: asked of its agents.
#pragma once

#include <string>
#include <vector>

#include "api/agent_api.h"
#include "cluster/group_store.h"

namespace pgb::cluster {

struct WhyGroup {
  std::string group;
  api::Explanation view;  // of the agent that knows most
  struct Silent {
    std::string node, reason;
  };
  std::vector<Silent> silent;  // agents that did not answer
};

// kNotReady: no agent answers, with what to do. In well under two seconds.
Result<WhyGroup> why(const Session& session, const Group& group);
Result<WhyGroup> why(Session& session, const std::string& balancer);

// Where the balancer would send a statement, and why; nothing is run.
struct Route {
  std::string node, role, reason, verdict;
};
// kSql: as the balancer says. kUnreachable …
Result<Route> why_statement(Session& session, const std::string& balancer, const std::string& sql);

}  // namespace pgb::cluster
