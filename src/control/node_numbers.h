// The nodes by number, as pgpool-II's commands and its PCP protocol speak of them: the position in the configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/group_roles.h"
#include "proxy/admin.h"

namespace pgb::control {

struct NodeNumbers {
  size_t id = 0;
  proxy::NodeView view;
  double share = 0;       // of the reads, by weight: all add up to 1
  uint64_t requests = 0;  // that went there

  // In pgpool-II's words: "up", or "down" when silent or drained. Its "waiting", up without a connection, is not told:
  // everybody takes it for a fault.
  std::string status() const;
  int status_code() const;  // the same as a number: 2 up, 3 down
  bool takes_work() const { return view.healthy && !view.gauge->drained; }
  bool is_primary() const { return view.role_now() == proxy::NodeRole::kPrimary; }
  std::string role() const;     // "primary" or "standby", which pgpool-II calls all others
  std::string pg_role() const;  // "primary", "standby", "unknown"
  uint64_t behind() const;      // bytes; of the primary 0
  // Age of the newest state that it is known to have; nothing if it has never been seen to catch up with anything.
  std::optional<double> behind_seconds() const;
  std::string changed() const;                    // when it last began or ceased to get work; empty: never yet
  int64_t changed_at() const;                     // the same in seconds since the epoch; 0: never
  std::vector<std::string> health_check() const;  // the columns of SHOW POOL_HEALTH_CHECK_STATS

  // In PostgreSQL's words, as the lease store tells: "streaming", "quorum", "async"; empty: it is not known to stream.
  std::string replication_state() const;
  std::string replication_sync_state() const;

  uint64_t servers = 0;
  bool streams = false, sync_member = false;  // as the lease store said lately
};

// `roles`: null where there are none to be known.
std::vector<NodeNumbers> node_numbers(const proxy::Admin& proxy, const GroupRoles* roles = nullptr);
// The same without roles, of numbers that were asked for already.
std::vector<NodeNumbers> node_numbers(const proxy::Admin& proxy, const proxy::Stats& stats,
                                      const std::vector<proxy::RouteRow>& routes);

// Of its log while it answers: what its agent says, without one what is known of a primary; 0: it is not known.
uint64_t timeline_of(const proxy::NodeView& view, const std::optional<GroupRoles::Now>& roles);

}  // namespace pgb::control
