#include "cluster/roles.h"

#include <poll.h>

#include <algorithm>

#include "cluster/probe.h"
#include "cluster/role_probe.h"
#include "cluster/role_wait.h"
#include "os/file.h"
#include "os/lock_file.h"

namespace pgb::cluster {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = Deadline::Clock;

namespace {

constexpr milliseconds kServer{2000};

std::string text_of(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", number);
  return text;
}

// The pause that the last switchover of the group told of in the events.
std::optional<double> last_pause(const Session& session, const std::string& group) {
  const auto events = os::read_file(session.events_file());
  if (!events.ok()) return std::nullopt;
  const size_t line = events->rfind("switchover of " + group + ": ");
  const std::string mark = "writes paused ";
  const size_t at = line == std::string::npos ? line : events->find(mark, line);
  if (at == std::string::npos || at > events->find('\n', line)) return std::nullopt;
  return std::strtod(events->c_str() + at + mark.size(), nullptr);
}

Error cannot_take_over(const std::string& node, const std::string& why) {
  return Error(Code::kNotReady, node + " cannot take over: it " + why)
      .with("changed", "nothing")
      .with("look", "pgbalancer_cluster why " + node);
}

// What the record and the leader's own server say at one moment.
struct Chances {
  GroupState state;
  ServerFacts primary;

  bool streams(const std::string& node) const {
    const auto follower = primary.followers.find(node);
    return follower != primary.followers.end() && follower->second.state == "streaming";
  }
  bool has_each_commit(const std::string& node) const {
    return state.durability == "async" ||
           std::find(state.members.begin(), state.members.end(), node) != state.members.end();
  }
  // What holds it back; empty: nothing that is known here. The leader has the last word.
  std::string obstacle(const std::string& node) const {
    if (!streams(node)) return "does not stream";
    return has_each_commit(node) ? "" : "is not among those that have each commit";
  }
  int64_t lag(const std::string& node) const {
    const auto follower = primary.followers.find(node);
    return follower == primary.followers.end() ? 0 : follower->second.lag_bytes.value_or(0);
  }
};

Result<Chances> look(Group& group) {
  auto state = read_state(group);
  if (!state.ok()) return std::move(state).error();
  if (state->leader.empty()) {
    return Error(Code::kNotReady, "nobody leads " + group.balancer.name + " just now")
        .with("changed", "nothing")
        .with("try", "pgbalancer_cluster why");
  }
  const auto nodes = group.balancer.nodes();
  const auto leader =
      std::find_if(nodes.begin(), nodes.end(), [&](const model::Node& node) { return node.name == state->leader; });
  if (leader == nodes.end()) return Error(Code::kNotReady, state->leader + ", which leads, is no node of the record");
  pgclient::ConnInfo info = server_conninfo(group.cluster, group.secrets, leader->port);
  info.database = "postgres";
  auto facts = probe_server(info, Deadline::after(kServer));
  if (!facts.ok()) return std::move(facts).error().in(state->leader);
  return Chances{std::move(*state), std::move(*facts)};
}

// Whoever streams is recorded a moment later, as after init, or when it has just come back: that is waited for, rather
// than refused.
Result<Chances> look_when_recorded(const Session& session, Group& group, const std::string& wanted) {
  constexpr seconds kPatience{5};
  const auto nodes = group.balancer.nodes();
  const auto comes = [&](const Chances& now) {
    const auto about_to = [&](const std::string& node) { return now.streams(node) && !now.has_each_commit(node); };
    if (!wanted.empty()) return wanted != now.state.leader && about_to(wanted);
    bool one_comes = false;
    for (const model::Node& node : nodes) {
      if (node.name == now.state.leader) continue;
      if (now.obstacle(node.name).empty()) return false;
      one_comes |= about_to(node.name);
    }
    return one_comes;
  };
  const Deadline deadline = Deadline::after(kPatience);
  auto now = look(group);
  while (now.ok() && comes(*now) && !deadline.expired() && session.check_interrupted().ok()) {
    poll(nullptr, 0, 50);
    now = look(group);
  }
  return now;
}

Result<std::string> choose(const Group& group, const Chances& chances, const std::string& wanted) {
  if (!wanted.empty()) {
    const std::string why = chances.obstacle(wanted);
    return why.empty() ? Result<std::string>(wanted) : cannot_take_over(wanted, why);
  }
  std::string best, why_not;
  for (const model::Node& node : group.balancer.nodes()) {
    if (node.name == chances.state.leader) continue;
    const std::string why = chances.obstacle(node.name);
    if (!why.empty()) {
      why_not += (why_not.empty() ? "" : "; ") + node.name + " " + why;
    } else if (best.empty() || chances.lag(node.name) < chances.lag(best)) {
      best = node.name;
    }
  }
  if (!best.empty()) return best;
  return Error(Code::kNotReady, "nobody can take over from " + chances.state.leader + ": " +
                                    (why_not.empty() ? "there is no other node" : why_not))
      .with("changed", "nothing");
}

Result<SwitchoverPlan> make_plan(const Session& session, Group& group, const std::string& to) {
  PGB_TRY(check_node(group, to));
  const auto chances = look_when_recorded(session, group, to);
  if (!chances.ok()) return chances.error();
  const std::string& leader = chances->state.leader;
  SwitchoverPlan plan{
      group.balancer.name, leader, to, group.balancer.name, chances->state.durability == "async", 0, {}};
  if (to == leader) return plan;
  auto target = choose(group, *chances, to);
  if (!target.ok()) return std::move(target).error();
  plan.to = *target;
  plan.lag_bytes = chances->lag(*target);
  plan.last_pause = last_pause(session, group.balancer.name);
  return plan;
}

// What the former primary lacks before it could take the role back; empty: nothing.
std::string lacks(Group& group, const std::string& node) {
  const auto now = look(group);
  if (!now.ok() || !now->state.opened || now->state.leader == node) return "has not come back yet";
  return now->obstacle(node);
}

// The former primary follows the new one, and could take over again. What is not so after a while is told, and no
// failure: the role has moved.
std::string wait_for_rejoin(const Session& session, Group& group, const std::string& from) {
  constexpr seconds kPatience{60};
  const auto nodes = group.balancer.nodes();
  if (std::none_of(nodes.begin(), nodes.end(), [&](const auto& one) { return one.name == from; })) return "";
  session.tell("rejoin", Event::State::kRunning, from + " comes back as a replica");
  const Deadline deadline = Deadline::after(kPatience);
  std::string lacking = lacks(group, from);
  for (; !lacking.empty(); lacking = lacks(group, from)) {
    const bool stopped = !session.check_interrupted().ok();
    if (stopped || deadline.expired()) {
      session.tell("rejoin", Event::State::kFailed, from + " " + lacking);
      return from + " " + lacking + ": pgbalancer_cluster why " + from;
    }
    poll(nullptr, 0, 50);
  }
  session.tell("rejoin", Event::State::kOk, from + " follows, and could take the role back");
  return "";
}

}  // namespace

Result<SwitchoverPlan> plan_switchover(Session& session, const std::string& balancer, const std::string& to) {
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  return make_plan(session, *group, to);
}

Result<RoleChange> switchover(Session& session, const std::string& balancer, const std::string& to) {
  if (!session.has_record()) return session.recorded().error();
  auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", "switchover");
  if (!lock.ok()) return std::move(lock).error();
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  auto plan = make_plan(session, *group, to);
  if (!plan.ok()) return std::move(plan).error();
  if (plan->from == plan->to) {
    RoleChange none;
    none.group = plan->group;
    none.from = none.to = to;
    none.sentence = to + " leads already";
    return none;
  }
  RoleProbe probe(balancer_conninfo(group->cluster, group->secrets, group->balancer));
  probe.begin();
  PGB_TRY(session.check_interrupted());
  auto request = leave_request(*group, "switchover", to, false);
  if (!request.ok()) return std::move(request).error();
  auto change = wait_for_change(session, *group, {*request, plan->from, false, false});
  if (!change.ok()) return change;
  probe.wait_for_writes();
  session.tell("resume", Event::State::kOk, group->balancer.name + " sends writes to " + change->to);
  const auto nodes = group->balancer.nodes();
  const auto now = std::find_if(nodes.begin(), nodes.end(), [&](const auto& one) { return one.name == change->to; });
  if (now != nodes.end()) {
    change->measured = probe.end(server_conninfo(group->cluster, group->secrets, now->port));
  }
  std::string event = "switchover of " + group->balancer.name + ": " + plan->from + " -> " + change->to;
  if (change->measured) {
    event += ", writes paused " + text_of(change->measured->pause) + " s, " + std::to_string(change->measured->errors) +
             " client errors";
  }
  session.log_event(event);
  change->trouble = wait_for_rejoin(session, *group, plan->from);
  return change;
}

Result<std::vector<Change>> history(Session& session, const std::string& balancer) {
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  return read_history(*group);
}

}  // namespace pgb::cluster
