#include "cluster/primary.h"

#include "cluster/parallel.h"
#include "cluster/probe.h"

namespace pgb::cluster {

Result<model::Node> find_primary(const model::Cluster& cluster, const Secrets& secrets, const model::Balancer& group) {
  const std::vector<model::Node> nodes = group.nodes();
  std::vector<int> timelines(nodes.size(), -1);
  in_parallel(nodes.size(), [&](size_t i) {
    pgclient::ConnInfo info = server_conninfo(cluster, secrets, nodes[i].port);
    info.database = "postgres";
    const auto facts = probe_server(info, Deadline::after(std::chrono::milliseconds(1000)));
    if (facts.ok() && !facts->in_recovery) timelines[i] = facts->timeline;
  });
  size_t best = 0;
  for (size_t i = 1; i < nodes.size(); ++i) {
    if (timelines[i] > timelines[best]) best = i;
  }
  if (timelines[best] >= 0) return nodes[best];
  return Error(Code::kNotReady, "no server of " + group.name + " is primary just now");
}

}  // namespace pgb::cluster
