#include "cluster/wait.h"

#include <poll.h>

#include <optional>
#include <set>

#include "base/strings.h"
#include "cluster/primary.h"
#include "cluster/probe.h"

namespace pgb::cluster {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds kSteady{2000};  // so long in one phase: it is at work, and not at its next try
constexpr milliseconds kTries{10000};  // for an agent to get over a failure: it tries again by itself
constexpr milliseconds kGrace{5000};
constexpr milliseconds kNoLeader{3000};  // for a node whose group is down: nobody can lead it
constexpr milliseconds kLong{10000};     // of the same: then its log may say why
constexpr int kMissing = 2;              // looks, a second apart, at a unit that does not run
constexpr int kTick = 25;                // milliseconds between two looks

std::optional<runtime::UnitInfo> find_unit(const Waiting& waiting, const std::string& name) {
  auto units = existing_units(waiting.session, Deadline::after(milliseconds(5000)));
  if (!units.ok()) return std::nullopt;
  const auto unit = units->find(name);
  return unit == units->end() ? std::nullopt : std::optional(unit->second);
}

// One that is started over and over does no more than one that does not run.
bool has_ended(const std::optional<runtime::UnitInfo>& unit) {
  return !unit || unit->state != runtime::UnitState::kRunning || unit->restarting;
}

// A short wait needs no reasons; a long one does.
std::string what_it_does(const api::AgentState& state, const model::Balancer& group,
                         Deadline::Clock::time_point began) {
  const std::string detail = state.detail.empty() ? "" : ": " + state.detail;
  if (state.phase != "waiting") return state.phase + detail;
  const bool slow = Deadline::Clock::now() - began > std::chrono::seconds(10);
  return "waits for " + group.primary.name + (slow ? detail : "");
}

// The last line that a server wrote, for those who wait for it for long.
std::string last_words(const Waiting& waiting, const std::string& name, int lines) {
  auto logs = waiting.session.runtime->logs(waiting.cluster.cluster_name, name, {lines, ""},
                                            Deadline::after(milliseconds(1000)));
  return logs.ok() ? std::string(trim(logs->text)) : logs.error().message;
}

// What a unit that does not run any more said last.
Error ended(const Waiting& waiting, const std::string& name) {
  return Error(Code::kNotReady, name + ": its program ended")
      .with("last output", last_words(waiting, name, 20))
      .with("try", "pgbalancer_cluster logs " + name);
}

// True once the primary, whoever that is by now, lists the replica as streaming.
bool streams(const Waiting& waiting, const model::Balancer& group, const model::Node& node) {
  const auto primary = find_primary(waiting.cluster, waiting.secrets, group);
  if (!primary.ok()) return false;
  pgclient::ConnInfo info = server_conninfo(waiting.cluster, waiting.secrets, primary->port);
  info.database = "postgres";
  auto connection = pgclient::Connection::open(info, Deadline::after(milliseconds(1000)));
  if (!connection.ok()) return false;
  auto answer = (*connection)
                    ->query("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND application_name = " +
                                pgclient::quote_literal(node.name),
                            Deadline::after(milliseconds(1000)));
  return answer.ok() && !answer->at(0).rows.empty();
}

std::string without(const std::string& what, const std::string& missing) {
  return "up, but " + what + ": start " + missing + ", too";
}

// Of those that could lead the group, besides `name`: who does not run.
std::string missing_leaders(const Waiting& waiting, const model::Balancer& group, const std::string& name) {
  std::string missing;
  for (const model::Node& other :
       waiting.cluster.ha.failover ? group.nodes() : std::vector<model::Node>{group.primary}) {
    if (other.name == name || !has_ended(find_unit(waiting, other.name))) continue;
    missing += (missing.empty() ? "" : ", ") + other.name;
  }
  return missing;
}

// One unit, a node or a balancer, was asked for: what it cannot do before others that do not run are started; empty:
// they run, or it can.
std::string stands_alone(const Waiting& waiting, const model::Balancer& group, const std::string& name) {
  if (!waiting.named) return "";
  if (name != group.name && waiting.cluster.keeps_stores() && has_ended(find_unit(waiting, group.name))) {
    return without("the lease store of its group is down", group.name);
  }
  const std::string missing = missing_leaders(waiting, group, name);
  if (missing.empty() || find_primary(waiting.cluster, waiting.secrets, group).ok()) return "";
  if (waiting.cluster.ha.failover) return without("nobody leads " + group.name + " yet", missing);
  return without(name == group.name ? "there is nobody to write to" : "there is nobody to follow", missing);
}

}  // namespace

Status wait_for_node(const Waiting& waiting, const model::Balancer& group, const model::Node& node) {
  const Session& session = waiting.session;
  auto unit = find_unit(waiting, node.name);
  if (!unit) return Error(Code::kNotReady, node.name + " is not there");
  api::AgentAddress address = agent_address(waiting.cluster, waiting.secrets, *unit);
  const auto began = Deadline::Clock::now();
  Deadline patience = Deadline::after(waiting.patience);
  Deadline next_look = Deadline::after(milliseconds(1000));
  Deadline next_words = Deadline::after(kLong);
  Deadline steady = Deadline::never();
  std::set<std::string> done;  // what it was seen to do: the same again and again is no progress
  bool failing = false, gave_up = false;
  int missing = 0;
  Deadline give_up = Deadline::never();
  Deadline leader_look = Deadline::after(kNoLeader);
  Deadline failing_until = Deadline::never();
  std::string last;
  for (;; poll(nullptr, 0, kTick)) {
    PGB_TRY(session.check_interrupted());
    auto state = api::agent_state(address, Deadline::after(milliseconds(1000)));
    const bool primary = state.ok() && state->role == "primary";
    if (state.ok() && state->healthy() && (primary || streams(waiting, group, node))) {
      session.tell(node.name, Event::State::kOk, primary ? "accepting writes" : "streaming");
      return {};
    }
    // One that fails for a reason of its own lacks nobody.
    if (state.ok() && state->phase != "failed" && leader_look.expired()) {
      leader_look = Deadline::after(milliseconds(1000));
      if (const std::string alone = stands_alone(waiting, group, node.name); !alone.empty()) {
        session.tell(node.name, Event::State::kOk, alone + (state->detail.empty() ? "" : " (" + state->detail + ")"));
        return {};
      }
    }
    // Another one has failed, and this one may need it; a moment, so that the one that is the cause can say so, too.
    if (waiting.failed != nullptr && *waiting.failed && !gave_up) {
      gave_up = true;
      give_up = Deadline::after(kGrace);
    }
    if (gave_up && give_up.expired()) return Error(Code::kTimeout, node.name + " waits for one that has failed");
    if (state.ok()) {
      // Work that goes on may take its time: initdb, a copy, recovery, init SQL.
      const bool works = state->phase != "waiting" && state->phase != "failed" && steady.expired();
      if (works || waiting.coming != nullptr) patience = Deadline::after(waiting.patience);
      if (state->phase == "running") failing = false;
      if (state->phase == "failed" && !failing) {
        failing = true;
        failing_until = Deadline::after(kTries);
      }
      if (state->phase == "failed" && failing_until.expired()) {
        return Error(Code::kTool, node.name + ": " + state->detail).with("try", "pgbalancer_cluster logs " + node.name);
      }
      std::string doing = what_it_does(*state, group, began);
      const auto tell = [&](const std::string& text) {
        session.tell(node.name, state->phase == "waiting" ? Event::State::kWaiting : Event::State::kRunning, text);
      };
      if (doing != last) {
        if (done.insert(doing).second) patience = Deadline::after(waiting.patience);
        steady = Deadline::after(kSteady);
        next_words = Deadline::after(kLong);
        tell(doing);
        last = std::move(doing);
      } else if (next_words.expired()) {
        next_words = Deadline::after(kLong / 2);
        const std::string& who = state->phase == "waiting" ? group.primary.name : node.name;
        tell(last + "; " + who + ": " + last_words(waiting, who, 1));
      }
    } else if (next_look.expired()) {  // the agent is silent: is it there at all?
      next_look = Deadline::after(milliseconds(1000));
      unit = find_unit(waiting, node.name);
      // One that starts over has no ports for a moment, and no program.
      const bool ended_for_good = has_ended(unit);
      if (ended_for_good && ++missing > kMissing) return ended(waiting, node.name);
      if (ended_for_good) continue;
      missing = 0;
      address = agent_address(waiting.cluster, waiting.secrets, *unit);
    }
    if (patience.expired()) {
      return Error(Code::kTimeout,
                   node.name + " is not ready, and does nothing new: " + (state.ok() ? last : state.error().message))
          .with("last output", last_words(waiting, node.name, 20))
          .with("try", "pgbalancer_cluster logs " + node.name);
    }
  }
}

Status wait_for_balancer(const Waiting& waiting, const model::Balancer& balancer) {
  const Session& session = waiting.session;
  Deadline patience = Deadline::after(waiting.patience);
  Deadline next_look = Deadline::after(milliseconds(1000));
  Deadline leader_look = Deadline::after(kNoLeader);
  int missing = 0;
  session.tell(balancer.name, Event::State::kWaiting, "waits for " + balancer.primary.name);
  for (;; poll(nullptr, 0, kTick)) {
    PGB_TRY(session.check_interrupted());
    auto query =
        probe_query(balancer_conninfo(waiting.cluster, waiting.secrets, balancer), Deadline::after(milliseconds(2000)));
    if (query.ok()) {
      session.tell(balancer.name, Event::State::kOk,
                   "listening on " + reachable_host(waiting.cluster) + ":" + std::to_string(balancer.port));
      return {};
    }
    if (next_look.expired()) {
      next_look = Deadline::after(milliseconds(1000));
      const auto unit = find_unit(waiting, balancer.name);
      missing = has_ended(unit) ? missing + 1 : 0;
      const bool stays_away = !unit || unit->state != runtime::UnitState::kRunning || missing > kMissing;
      if (stays_away) return ended(waiting, balancer.name);
    }
    // It listens: whether clients are refused or wait, it can do no more.
    if (leader_look.expired() && query.error().code != Code::kUnreachable) {
      leader_look = Deadline::after(milliseconds(1000));
      if (const std::string alone = stands_alone(waiting, balancer, balancer.name); !alone.empty()) {
        session.tell(balancer.name, Event::State::kOk, alone);
        return {};
      }
    }
    if (waiting.failed != nullptr && *waiting.failed) {
      return Error(Code::kTimeout, balancer.name + " waits for a server that has failed");
    }
    if (waiting.coming != nullptr && *waiting.coming > 0) patience = Deadline::after(waiting.patience);
    if (patience.expired()) {
      return Error(Code::kTimeout, balancer.name + " lets no query through: " + query.error().message)
          .with("try", "pgbalancer_cluster logs " + balancer.name);
    }
  }
}

}  // namespace pgb::cluster
