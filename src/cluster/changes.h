// What has changed in the cluster file since the cluster was last brought to it, as far as units that run already
// are concerned.
#pragma once

#include <string>
#include <vector>

#include "cluster/session.h"
#include "cluster/units.h"

namespace pgb::cluster {

// Has a running balancer read its file anew; its clients stay connected. `spoke_tls`: whether its REST port was one for
// TLS before. kNotReady, or why it cannot be reached.
Status reload_balancer(const Session& session, const model::Cluster& cluster, const Secrets& secrets,
                       const model::Balancer& group, bool spoke_tls);

struct Changes {
  std::vector<std::string> applied;  // "lb1: pool settings read again"
  std::vector<std::string> pending;  // "primary1: postgres.parameters has changed; …", each with what to do
};
// Brings what can be changed while it runs from `before` to `now`; says of the rest what it takes. The units' files
// are written already; `running` are those that ran before this init.
Result<Changes> apply_changes(const Session& session, const model::Cluster& before, const model::Cluster& now,
                              const Secrets& secrets, const std::vector<runtime::UnitSpec>& units,
                              const UnitMap& running);

}  // namespace pgb::cluster
