#include "cluster/reinit.h"

#include <poll.h>

#include <algorithm>

#include "cluster/wait.h"
#include "os/lock_file.h"

namespace pgb::cluster {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

Result<ReinitPlan> make_plan(Group& group, const std::string& node) {
  PGB_TRY(check_node(group, node));
  auto state = read_state(group);
  if (!state.ok()) return std::move(state).error();
  if (state->leader == node) {
    return Error(Code::kIsPrimary, node + " is the primary of " + group.balancer.name + ": its data are the group's")
        .with("changed", "nothing")
        .with("try", "pgbalancer_cluster switchover, then reinit " + node);
  }
  if (state->leader.empty()) {
    return Error(Code::kNotReady, "nobody leads " + group.balancer.name + ": there is nothing to copy from")
        .with("changed", "nothing")
        .with("look", "pgbalancer_cluster why");
  }
  return ReinitPlan{group.balancer.name, node, state->leader};
}

Error still_goes_on(Error why, const std::string& node) {
  return std::move(why)
      .with("standing", "the agent of " + node + " goes on with it by itself")
      .with("look", "pgbalancer_cluster status --node " + node);
}

// The agent gives the data up before it takes the request out of the store, so that whoever dies it is finished.
Error taken_back(Error why, const std::string& node) {
  return std::move(why)
      .with("changed", "nothing: the request is taken back; unless the agent of " + node +
                           " had just begun, then it goes on with it by itself")
      .with("look", "pgbalancer_cluster status --node " + node);
}

// Until the node's agent has begun; then nothing can stop it any more.
Status wait_begun(const Session& session, Group& group, const std::string& node, int64_t request) {
  session.tell(node, Event::State::kWaiting, "waits until no commit is on it alone with the primary");
  const Deadline patience = Deadline::after(dcs::kRequestPatience + seconds(5));
  for (;; poll(nullptr, 0, 30)) {
    auto state = read_state(group);
    if (state.ok() && state->request != request) {
      const auto said = answer_to(group, request);
      if (said && said->node == node) return {};
      if (said) return Error(Code::kNotReady, said->text).with("changed", "nothing");
      return Error(Code::kNotReady, "the request is gone, and nobody says why").with("changed", "nothing");
    }
    Status on = session.check_interrupted();
    if (on.ok() && patience.expired()) on = Error(Code::kTimeout, node + " did not begin; is it up?");
    if (on.ok()) continue;
    if (withdraw_request(group, request)) return taken_back(std::move(on).error(), node);
    return still_goes_on(std::move(on).error(), node);
  }
}

// The old server is gone: what answers from then on is made of the copy.
Status wait_old_gone(const Session& session, const Group& group, const std::string& node, int64_t old_pid) {
  const Deadline patience = Deadline::after(seconds(60));
  for (;; poll(nullptr, 0, 20)) {
    auto units = existing_units(session, Deadline::after(seconds(5)));
    const auto unit = units.ok() ? units->find(node) : UnitMap::const_iterator();
    if (units.ok() && unit != units->end()) {
      const auto agent = api::agent_state(agent_address(group.cluster, group.secrets, unit->second),
                                          Deadline::after(milliseconds(1000)));
      if (agent.ok() && agent->postmaster_pid != old_pid) return {};
    }
    Status on = session.check_interrupted();
    if (on.ok() && patience.expired()) on = Error(Code::kTimeout, node + " has not stopped its server");
    if (!on.ok()) return still_goes_on(std::move(on).error(), node);
  }
}

Result<int64_t> postmaster_of(const Session& session, const Group& group, const std::string& node) {
  auto units = existing_units(session, Deadline::after(seconds(10)));
  if (!units.ok()) return std::move(units).error();
  const auto unit = units->find(node);
  if (unit == units->end() || unit->second.state != runtime::UnitState::kRunning) {
    return Error(Code::kNotReady, node + " does not run")
        .with("changed", "nothing")
        .with("try", "pgbalancer_cluster start " + node);
  }
  auto agent =
      api::agent_state(agent_address(group.cluster, group.secrets, unit->second), Deadline::after(milliseconds(2000)));
  if (!agent.ok()) return std::move(agent).error().in(node).with("changed", "nothing");
  return agent->postmaster_pid;
}

}  // namespace

Result<ReinitPlan> plan_reinit(Session& session, const std::string& balancer, const std::string& node) {
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  return make_plan(*group, node);
}

Result<Reinit> reinit(Session& session, const std::string& balancer, const std::string& node) {
  if (!session.has_record()) return session.recorded().error();
  auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", "reinit");
  if (!lock.ok()) return std::move(lock).error();
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  auto plan = make_plan(*group, node);
  if (!plan.ok()) return std::move(plan).error();
  auto old = postmaster_of(session, *group, node);
  if (!old.ok()) return std::move(old).error();
  PGB_TRY(session.check_interrupted());
  const auto began = Deadline::Clock::now();
  auto request = leave_request(*group, "reinit", node, false);
  if (!request.ok()) return std::move(request).error();
  PGB_TRY(wait_begun(session, *group, node, *request));
  session.log_event("reinit of " + node + ": its data are thrown away and copied from " + plan->primary);
  if (*old != 0) PGB_TRY(wait_old_gone(session, *group, node, *old));
  const auto nodes = group->balancer.nodes();
  const auto found = std::find_if(nodes.begin(), nodes.end(), [&](const auto& one) { return one.name == node; });
  Status streams = wait_for_node({session, group->cluster, group->secrets}, group->balancer, *found);
  if (!streams.ok()) return still_goes_on(std::move(streams).error(), node);
  const std::chrono::duration<double> took = Deadline::Clock::now() - began;
  session.log_event("reinit of " + node + " is done: it streams");
  return Reinit{*plan, took.count()};
}

}  // namespace pgb::cluster
