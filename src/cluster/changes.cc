#include "cluster/changes.h"

#include <algorithm>

#include "cluster/effective.h"
#include "cluster/rest_calls.h"

namespace pgb::cluster {
namespace {

using model::Balancer;
using model::Cluster;
using std::chrono::seconds;

constexpr seconds kReloadDeadline{5};

// What is decided when the cluster is made; a cluster that stands does not follow.
void note_fixed(const model::Postgres& before, const model::Postgres& now, std::vector<std::string>& pending) {
  const auto fixed = [&](bool changed, const std::string& key) {
    if (changed) pending.push_back(key + " has changed; it is used when a cluster is made, not later");
  };
  fixed(before.database != now.database, "postgres.database");
  fixed(before.superuser != now.superuser, "postgres.superuser");
  fixed(!(before.password == now.password), "postgres.password");
  fixed(before.replication_user != now.replication_user, "postgres.replication_user");
  fixed(before.init_sql != now.init_sql, "postgres.init_sql");
}

}  // namespace

Status reload_balancer(const Session& session, const Cluster& cluster, const Secrets& secrets, const Balancer& group,
                       bool spoke_tls) {
  http::Request request;
  request.method = "POST";
  request.target = "/api/v1/control/reload";
  auto answer = call_changing_balancer(session, cluster, secrets, group, spoke_tls, std::move(request),
                                       Deadline::after(kReloadDeadline));
  if (!answer.ok()) return std::move(answer).error().in("balancer " + group.name);
  if (answer->status == 200) return note_certificate_shown(session, group);
  return Error(Code::kNotReady, "balancer " + group.name + " did not reload: " + answer->body)
      .with("standing", "it goes on with the settings that it has")
      .with("try", "pgbalancer_cluster restart " + group.name);
}

Result<Changes> apply_changes(const Session& session, const Cluster& before, const Cluster& now, const Secrets& secrets,
                              const std::vector<runtime::UnitSpec>& units, const UnitMap& running) {
  Changes changes;
  for (const runtime::UnitSpec& unit : units) {
    if (!runs(running, unit.name) || running.at(unit.name).spec_hash == unit.spec_hash) continue;
    changes.pending.push_back(unit.name + " runs with settings of an earlier file; to apply the new ones: " +
                              "pgbalancer_cluster restart " + unit.name);
  }
  for (const Balancer& group : now.balancers) {
    const Balancer* old = before.find_balancer(group.name);
    if (old == nullptr || !runs(running, group.name)) continue;
    // Always: an init that was cut off may have left the balancer with less than its file says.
    PGB_TRY(reload_balancer(session, now, secrets, group, old->config.rest_tls));
    if (before.durability_of(*old) != now.durability_of(group)) {
      changes.applied.push_back(group.name + ": durability is " +
                                std::string(model::to_string(now.durability_of(group))) + " now");
    }
    if (old->config == group.config && old->nodes() == group.nodes()) continue;
    changes.applied.push_back(group.name + ": configuration read again, its clients stay connected");
  }
  note_fixed(before.postgres, now.postgres, changes.pending);
  return changes;
}

}  // namespace pgb::cluster
