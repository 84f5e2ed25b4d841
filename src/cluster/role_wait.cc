#include "cluster/role_wait.h"

#include <poll.h>

#include <optional>

#include "cluster/why.h"

namespace pgb::cluster {

using std::chrono::seconds;
using Clock = Deadline::Clock;

namespace {

// Tells the steps of a change of roles as they are seen in the store.
class Steps {
 public:
  Steps(const Session& session, const std::string& from) : session_(session), from_(from) {
    if (!from_.empty()) session_.tell("demote", Event::State::kRunning, from_ + " lets its clients finish and stops");
  }
  void see(const GroupState& state) {
    if (!let_go_ && state.leader != from_) {
      let_go_ = true;
      if (!from_.empty()) session_.tell("demote", Event::State::kOk, from_ + " has stopped and let go");
      session_.tell("promote", Event::State::kRunning, "somebody takes over");
    }
    if (!took_ && !state.leader.empty() && state.leader != from_) {
      took_ = true;
      session_.tell("promote", Event::State::kOk, state.leader + ", epoch " + std::to_string(state.epoch));
      session_.tell("resume", Event::State::kRunning, state.leader + " begins to take writes");
    }
  }

 private:
  const Session& session_;
  const std::string from_;
  bool let_go_ = false, took_ = false;
};

Error interrupted(Group& group, const Asked& asked, Error why) {
  if (withdraw_request(group, asked.request))
    return std::move(why).with("changed", "nothing: the request is taken back");
  const auto state = read_state(group);
  const bool over = asked.failover && state.ok() && !state->request;
  if (over && (state->leader.empty() || state->leader == asked.from)) {
    return std::move(why).with("changed", "nothing: the request's time is over").with("look", "pgbalancer_cluster why");
  }
  return std::move(why)
      .with("standing", "the agents carry it out by themselves")
      .with("look", "pgbalancer_cluster history");
}

// An election that can find nobody.
std::optional<Error> no_safe_candidate(const Session& session, Group& group, const Asked& asked) {
  auto said = why(session, group);
  if (!said.ok() || !said->view.store_reachable || !said->view.leader.empty()) return std::nullopt;
  Error error(Code::kNoSafeCandidate, "a failover now could lose acknowledged commits");
  for (const auto& member : said->view.members) {
    if (member.may_lead) return std::nullopt;
    error.with(member.name, member.reason + (member.cost.empty() ? "" : "; forced, it would lose " + member.cost));
  }
  if (!withdraw_request(group, asked.request)) return std::nullopt;
  return std::move(error)
      .with("changed", "nothing")
      .with("try", "bring back who is missing: pgbalancer_cluster start")
      .with("or accept the loss", "pgbalancer_cluster failover --force");
}

}  // namespace

Result<RoleChange> wait_for_change(const Session& session, Group& group, const Asked& asked) {
  constexpr seconds kElection{5};
  const auto began = Clock::now();
  const Deadline deadline = Deadline::after(dcs::kRequestPatience + seconds(10));
  Deadline look_closer = Deadline::after(kElection);
  Steps steps(session, asked.from);
  for (; !deadline.expired(); poll(nullptr, 0, 10)) {
    if (Status on = session.check_interrupted(); !on.ok()) return interrupted(group, asked, std::move(on).error());
    auto state = read_state(group);
    if (!state.ok()) continue;
    steps.see(*state);
    if (state->opened && state->leader != asked.from) {
      const std::chrono::duration<double> took = Clock::now() - began;
      RoleChange change;
      change.group = group.balancer.name;
      change.from = asked.from;
      change.to = state->leader;
      change.epoch = state->epoch;
      change.seconds = took.count();
      if (const auto line = last_line(group, {"acquire", "forced"}, asked.request)) {
        change.sentence = line->text;
        change.lossy = line->action == "forced";
      }
      return change;
    }
    if (!state->request && !asked.from.empty() && state->leader == asked.from) {
      // The leader's answer, or the last word of whom it was handed to in vain.
      const auto said = last_line(group, {"request", "release"}, asked.request);
      return Error(Code::kNotReady, said ? said->text : "the request is gone, and nobody says why")
          .with("changed", "nothing: " + asked.from + " leads on");
    }
    if (asked.failover && !asked.force && look_closer.expired()) {
      look_closer = Deadline::after(seconds(2));
      if (auto error = no_safe_candidate(session, group, asked)) return std::move(*error);
    }
  }
  // A request that stood for ever would be carried out when nobody wants it any more.
  return interrupted(group, asked, Error(Code::kTimeout, "nobody else leads " + group.balancer.name + " yet"));
}

}  // namespace pgb::cluster
