#include "cluster/pause.h"

#include <unistd.h>

#include "cluster/parallel.h"
#include "cluster/probe.h"
#include "cluster/time_text.h"
#include "os/lock_file.h"

namespace pgb::cluster {

using dcs::Compare;
using dcs::Op;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr milliseconds kCall{2000};

std::string who_i_am() {
  char host[256] = "";
  if (gethostname(host, sizeof host - 1) != 0) return "uid " + std::to_string(geteuid());
  return "uid " + std::to_string(geteuid()) + " on " + host;
}

// Servers that may run as a primary of the time of the pause, each with what is known of it.
std::vector<std::string> doubtful(const Session& session, const Group& group) {
  auto units = existing_units(session, Deadline::after(seconds(10)));
  const std::vector<model::Node> nodes = group.balancer.nodes();
  std::vector<std::string> why(nodes.size());
  in_parallel(nodes.size(), [&](size_t i) {
    const std::string& name = nodes[i].name;
    // A runtime that sees no program there knows that no server runs: agents take theirs along.
    const auto unit = units.ok() ? units->find(name) : UnitMap::const_iterator();
    const bool known = units.ok() && unit != units->end();
    if (known && unit->second.state != runtime::UnitState::kRunning) return;
    if (!known) {
      why[i] = name + ": nobody knows whether it runs";
      return;
    }
    pgclient::ConnInfo info = server_conninfo(group.cluster, group.secrets, nodes[i].port);
    info.database = "postgres";
    const auto facts = probe_server(info, Deadline::after(kCall));
    if (facts.ok() && !facts->in_recovery) why[i] = name + ": its server runs as a primary";
    if (facts.ok()) return;
    const auto agent =
        api::agent_state(agent_address(group.cluster, group.secrets, unit->second), Deadline::after(kCall));
    if (!agent.ok()) {
      why[i] = name + ": neither its server nor its agent answers";
    } else if (agent->postmaster_pid != 0) {
      why[i] = name + ": its server runs but does not answer";
    }
  });
  std::erase(why, "");
  return why;
}

Status end_without_leader(const Session& session, Group& group, const GroupState& state, bool force) {
  if (!force) {
    const auto doubts = doubtful(session, group);
    if (!doubts.empty()) {
      Error error(Code::kNotReady,
                  "nobody leads " + group.balancer.name +
                      ", and a server may still run as the primary of the time before: it must hear of "
                      "the end of the pause first");
      for (const std::string& doubt : doubts) error.with("in doubt", doubt);
      return std::move(error)
          .with("changed", "nothing: it stays paused")
          .with("try", "bring it back, or make sure that it is off: pgbalancer_cluster stop NODE")
          .with("else", "pgbalancer_cluster resume --force");
    }
  }
  dcs::Txn txn;
  txn.when = {
      {group.keys.leader(), Compare::Field::kModRevision, Compare::Relation::kEqual, state.leader_revision, {}}};
  txn.then = {Op::remove({group.keys.paused(), false}),
              history_line(group, state.epoch, "resume",
                           force ? "resumed by force, whoever may still lead" : "resumed: nobody leads")};
  auto done = group.store->txn(txn, Deadline::after(kCall));
  if (!done.ok()) {
    const bool in_doubt = dcs::outcome_of(done.error()) == dcs::Outcome::kUnknown;
    const std::string& name = group.balancer.name;
    return std::move(done)
        .error()
        .in("lease store of " + name)
        .with("standing", in_doubt ? "nobody knows whether " + name + " is still paused" : name + " is still paused")
        .with("look", "pgbalancer_cluster status");
  }
  if (done->succeeded) return {};
  return Error(Code::kNotReady, "somebody has just begun to lead " + group.balancer.name)
      .with("changed", "nothing: it stays paused")
      .with("try", "pgbalancer_cluster resume");
}

Status end_by_leader(const Session& session, Group& group, const std::string& leader) {
  session.tell(group.balancer.name, Event::State::kWaiting, "waits for " + leader + " to end the pause");
  Status ended = dcs::end_pause(*group.store, group.keys, [&] { return session.check_interrupted(); });
  if (ended.ok()) return {};
  auto now = read_state(group);
  if (now.ok() && ended.error().code == Code::kNotReady && now->leader.empty()) {
    return end_without_leader(session, group, *now, false);
  }
  return std::move(ended).error().in(group.balancer.name).with("look", "pgbalancer_cluster why " + leader);
}

}  // namespace

Result<PauseResult> put_pause(Group& group) {
  const std::string& name = group.balancer.name;
  auto state = read_state(group);
  if (!state.ok()) return std::move(state).error().with("changed", "nothing");
  PauseResult result{name, state->leader, false, {}};
  if (state->pause) {
    result.pause = *state->pause;
    return result;
  }
  auto begun = dcs::begin_pause(*group.store, group.keys, state->epoch, "manager", {utc_now(), who_i_am()});
  if (!begun.ok()) {
    const std::string next = begun.error().code == Code::kNotReady ? "pause" : "status";
    return std::move(begun).error().in("group of " + name).with("look", "pgbalancer_cluster " + next);
  }
  result.changed = begun->ours;
  result.pause = begun->stands;
  return result;
}

Result<PauseResult> pause(Session& session, const std::string& balancer) {
  if (!session.has_record()) return session.recorded().error();
  auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", "pause");
  if (!lock.ok()) return std::move(lock).error();
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  auto result = put_pause(*group);
  if (result.ok() && result->changed) session.log_event("paused " + group->balancer.name);
  return result;
}

Result<PauseResult> resume(Session& session, const std::string& balancer, bool force) {
  if (!session.has_record()) return session.recorded().error();
  auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", "resume");
  if (!lock.ok()) return std::move(lock).error();
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  auto state = read_state(*group);
  if (!state.ok()) return std::move(state).error().with("changed", "nothing");
  PauseResult result{group->balancer.name, state->leader, false, {}};
  if (!state->pause) return result;
  result.pause = *state->pause;
  result.changed = true;
  PGB_TRY(state->leader.empty() || force ? end_without_leader(session, *group, *state, force)
                                         : end_by_leader(session, *group, state->leader));
  session.log_event("resumed " + group->balancer.name + ", paused since " + result.pause.since);
  return result;
}

Result<GroupState> look_at_pause(Session& session, const std::string& balancer, std::string* group_name) {
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  *group_name = group->balancer.name;
  return read_state(*group);
}

}  // namespace pgb::cluster
