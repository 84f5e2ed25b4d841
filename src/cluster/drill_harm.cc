#include "cluster/drill_harm.h"

#include <algorithm>

#include "os/file.h"
#include "runtime/process_runtime.h"

namespace pgb::cluster {

using std::chrono::seconds;

namespace {

bool in_docker(const Session& session) { return session.runtime->kind() == model::RuntimeKind::kDocker; }

Error not_here(const std::string& what, const std::string& instead) {
  return Error(Code::kNotReady, what).with("changed", "nothing").with("try", instead);
}

std::string data_of(const Session& session, const Group& group, const std::string& node) {
  return runtime::process_unit_dir(session.state_dir, group.cluster.cluster_name, node) + "/data";
}

Status can_fill(const Session& session, const Group& group, const std::string& node) {
  if (in_docker(session)) {
    return not_here("the servers' volumes share the engine's file system: to fill it would hit all of them",
                    "pgbalancer_cluster drill kill, or this drill on local processes with a file system for each node");
  }
  std::vector<std::string> others;
  for (const model::Node& other : group.balancer.nodes()) {
    if (other.name != node) others.push_back(data_of(session, group, other.name));
  }
  auto free = DiskFiller::check(data_of(session, group, node), others);
  return free.ok() ? Status() : Status(std::move(free).error());
}

std::string who(const DrillPlan& plan) { return plan.node + (plan.leads ? ", the primary" : ", a replica"); }

}  // namespace

Status can_harm(const Session& session, const Group& group, Drill kind, const std::string& node) {
  if (kind == Drill::kDiskFull) return can_fill(session, group, node);
  if (kind == Drill::kPartition && !in_docker(session)) {
    return not_here("local processes share this machine's network: there is nothing to cut",
                    "pgbalancer_cluster drill kill: the others hear nothing of it either");
  }
  if (kind != Drill::kStoreLoss) return {};
  if (!group.cluster.dcs_etcd.empty()) {
    return not_here("the lease store is an etcd cluster of yours: it is not ours to lose", "stop its members yourself");
  }
  if (in_docker(session)) {
    return not_here("a store in a container cannot be emptied from outside", "pgbalancer_cluster drill kill");
  }
  return {};
}

std::string harm_text(const DrillPlan& plan) {
  switch (plan.kind) {
    case Drill::kKill: return "kill " + who(plan) + ": agent and server at once, without warning";
    case Drill::kStop: return "stop " + who(plan) + ", in order";
    case Drill::kPartition:
      return "cut " + who(plan) + ", off its network: from the others, the lease store and all clients; it runs on";
    case Drill::kDiskFull: return "fill the file system that the data of " + who(plan) + ", are on";
    case Drill::kStoreLoss: break;
  }
  return "kill " + plan.group + " with its lease store, empty the store, start " + plan.group +
         " again: its clients lose their connections";
}

std::string undo_text(const DrillPlan& plan) {
  switch (plan.kind) {
    case Drill::kPartition: return "connect " + plan.node + " again";
    case Drill::kDiskFull: return "give " + plan.node + " its room back (it has it as soon as this program ends)";
    default: return "start " + plan.node + " again";
  }
}

Status Harm::inflict() {
  runtime::Runtime& runtime = *session_.runtime;
  const Deadline deadline = Deadline::after(seconds(30));
  switch (plan_.kind) {
    case Drill::kKill: return runtime.kill(cluster(), plan_.node, deadline);
    case Drill::kStop: return runtime.stop(cluster(), plan_.node, deadline);
    case Drill::kPartition: return runtime.cut_off(cluster(), plan_.node, deadline);
    case Drill::kDiskFull: return filler_.fill(data_of(session_, group_, plan_.node));
    case Drill::kStoreLoss: break;
  }
  return lose_store();
}

Status Harm::lose_store() {
  PGB_TRY(session_.runtime->kill(cluster(), plan_.node, Deadline::after(seconds(30))));
  PGB_TRY(os::remove_tree(runtime::process_unit_dir(session_.state_dir, cluster(), plan_.node) + "/store"));
  return undo();
}

Status Harm::connect() {
  const Deadline deadline = Deadline::after(seconds(60));
  auto existing = existing_units(session_, deadline);
  if (!existing.ok()) return std::move(existing).error();
  auto units = make_units(session_, group_.cluster, group_.secrets, *existing);
  if (!units.ok()) return std::move(units).error();
  const auto unit = std::find_if(units->begin(), units->end(), [&](const auto& one) { return one.name == plan_.node; });
  if (unit == units->end()) return Error(Code::kNoNode, "there is no unit " + plan_.node + " any more");
  return session_.runtime->connect(*unit, deadline);
}

Status Harm::undo() {
  if (undone_) return {};
  if (plan_.kind == Drill::kDiskFull) filler_.give_back();
  if (plan_.kind == Drill::kPartition) PGB_TRY(connect());
  if (plan_.kind != Drill::kDiskFull && plan_.kind != Drill::kPartition) {
    PGB_TRY(session_.runtime->start(cluster(), plan_.node, Deadline::after(seconds(60))));
  }
  undone_ = true;
  return {};
}

std::string Harm::standing() const {
  switch (plan_.kind) {
    case Drill::kPartition: return plan_.node + (undone_ ? " is connected again" : " is cut off");
    case Drill::kDiskFull: return plan_.node + " has its room again";
    default: return plan_.node + (undone_ ? " is started again" : " is down");
  }
}

std::string Harm::remedy() const { return "pgbalancer_cluster start " + plan_.node; }

}  // namespace pgb::cluster
