#include "cluster/failover.h"

#include <algorithm>

#include "cluster/primary.h"
#include "cluster/role_wait.h"
#include "cluster/why.h"
#include "os/lock_file.h"

namespace pgb::cluster {

namespace {

struct Leaderless {
  Group group;
  std::string last;  // whose key stands yet; empty: nobody's
};

// Whether there is anything to be done.
Result<Leaderless> open_leaderless(Session& session, const std::string& balancer, const std::string& to) {
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  PGB_TRY(check_node(*group, to));
  if (auto primary = find_primary(group->cluster, group->secrets, group->balancer); primary.ok()) {
    return Error(Code::kNotReady, primary->name + " leads " + group->balancer.name + " and answers")
        .with("changed", "nothing")
        .with("try", "pgbalancer_cluster switchover");
  }
  auto state = read_state(*group);
  if (!state.ok()) return std::move(state).error();
  if (state->pause) {  // its primary may go on without its lease: who took over would be a second one
    return Error(Code::kNotReady, group->balancer.name + " is paused since " + state->pause->since)
        .with("changed", "nothing")
        .with("try", "pgbalancer_cluster resume: the agents elect by themselves then");
  }
  return Leaderless{std::move(*group), state->leader};
}

// Its agent answers, and knows where its WAL ends. (What others heard of it may be old: one that was just started takes
// all that it reads in the store for news.)
bool can_be_forced(const WhyGroup& said, const api::Explanation::Member& member) {
  const bool silent =
      std::any_of(said.silent.begin(), said.silent.end(), [&](const auto& one) { return one.node == member.name; });
  return !silent && member.behind.has_value();
}

}  // namespace

Result<ForcePlan> plan_force(Session& session, const std::string& balancer, const std::string& to) {
  if (!session.has_record()) return session.recorded().error();
  auto open = open_leaderless(session, balancer, to);
  if (!open.ok()) return std::move(open).error();
  auto said = why(session, open->group);
  if (!said.ok()) return std::move(said).error();
  const auto& members = said->view.members;  // the best to force first
  const auto chosen = std::find_if(members.begin(), members.end(), [&](const auto& member) {
    return can_be_forced(*said, member) && (to.empty() || member.name == to);
  });
  if (chosen != members.end()) {
    return ForcePlan{said->group, chosen->name, chosen->may_lead, chosen->reason, chosen->cost, chosen->behind};
  }
  Error error(Code::kNotReady, to.empty() ? "nobody of " + said->group + " can be forced to lead"
                                          : to + " cannot be forced to lead " + said->group);
  for (const auto& member : members) {
    if (to.empty() || member.name == to) error.with(member.name, member.cost.empty() ? member.reason : member.cost);
  }
  return std::move(error).with("changed", "nothing").with("try", "pgbalancer_cluster start");
}

Result<RoleChange> failover(Session& session, const std::string& balancer, const std::string& to, bool force) {
  if (!session.has_record()) return session.recorded().error();
  auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", "failover");
  if (!lock.ok()) return std::move(lock).error();
  auto open = open_leaderless(session, balancer, to);
  if (!open.ok()) return std::move(open).error();
  Group& group = open->group;
  auto request = leave_request(group, "failover", to, force);
  if (!request.ok()) return std::move(request).error();
  session.tell(group.balancer.name, Event::State::kRunning, "electing");
  auto change = wait_for_change(session, group, {*request, open->last, true, force});
  if (change.ok()) {
    session.log_event("failover of " + group.balancer.name + " to " + change->to +
                      (change->lossy ? ", forced: acknowledged commits may be lost" : ""));
  }
  return change;
}

}  // namespace pgb::cluster
