#include "cluster/drop_replica.h"

#include <poll.h>

#include "cluster/primary.h"

namespace pgb::cluster {

using std::chrono::seconds;

static Status drop_at_primary(const model::Cluster& cluster, const Secrets& secrets, const UnitMap& existing,
                              const model::Balancer& group, const std::string& slot) {
  auto primary = find_primary(cluster, secrets, group);
  if (!primary.ok()) return std::move(primary).error().in("dropping slot " + slot);
  const auto unit = existing.find(primary->name);
  if (unit == existing.end()) return Error(Code::kNotReady, primary->name + " is not there to drop slot " + slot);
  return api::drop_slot(agent_address(cluster, secrets, unit->second), slot, Deadline::after(seconds(5)));
}

Status drop_replica(Session& session, const model::Cluster& cluster, const Secrets& secrets,
                    const model::Balancer& group, const std::string& name) {
  constexpr seconds kEngineDeadline{60};
  session.tell(name, Event::State::kRunning, "removing");
  PGB_TRY(session.runtime->remove(cluster.cluster_name, name, false, Deadline::after(kEngineDeadline)));
  auto existing = existing_units(session, Deadline::after(kEngineDeadline));
  if (!existing.ok()) return std::move(existing).error();
  Status dropped;
  const Deadline until = Deadline::after(seconds(10));
  do {  // the primary may take a moment to see that its walsender's peer is gone; and there may be none for a moment
    dropped = drop_at_primary(cluster, secrets, *existing, group, slot_name(name));
    if (!dropped.ok()) poll(nullptr, 0, 50);
  } while (!dropped.ok() && (dropped.error().code == Code::kSql || dropped.error().code == Code::kNotReady) &&
           !until.expired());
  PGB_TRY(std::move(dropped));
  session.tell(name, Event::State::kOk, "removed with its data and slot");
  session.log_event("removed " + name + " from " + group.name);
  return {};
}

}  // namespace pgb::cluster
