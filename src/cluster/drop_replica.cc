#include "cluster/drop_replica.h"

#include "cluster/units.h"

namespace pgb::cluster {

using std::chrono::seconds;

Status drop_replica(Session& session, const model::Cluster& cluster, const Secrets& secrets,
                    const model::Balancer& group, const std::string& name) {
  constexpr seconds kEngineDeadline{60};
  session.tell(name, Event::State::kRunning, "removing");
  PGB_TRY(session.runtime->remove(cluster.cluster_name, name, false, Deadline::after(kEngineDeadline)));
  auto existing = existing_units(session, Deadline::after(kEngineDeadline));
  if (!existing.ok()) return std::move(existing).error();
  const auto primary = existing->find(group.primary.name);
  if (primary == existing->end()) {
    return Error(Code::kNotReady, group.primary.name + " is not there to drop the slot");
  }
  Status dropped;
  const Deadline until = Deadline::after(seconds(10));
  do {  // the primary may take a moment to see that its walsender's peer is gone
    dropped =
        api::drop_slot(agent_address(cluster, secrets, primary->second), slot_name(name), Deadline::after(seconds(5)));
  } while (!dropped.ok() && dropped.error().code == Code::kSql && !until.expired());
  PGB_TRY(std::move(dropped));
  session.tell(name, Event::State::kOk, "removed with its data and slot");
  session.log_event("removed " + name + " from " + group.name);
  return {};
}

}  // namespace pgb::cluster
