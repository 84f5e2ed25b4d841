#include "cluster/drill.h"

#include <poll.h>

#include <algorithm>
#include <cmath>

#include "cluster/drill_harm.h"
#include "cluster/drill_ledger.h"
#include "cluster/group_store.h"
#include "cluster/primary.h"
#include "cluster/wait.h"
#include "os/lock_file.h"

namespace pgb::cluster {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = Deadline::Clock;

namespace {

struct Word {
  const char* word;
  Drill kind;
};
constexpr Word kWords[] = {{"kill", Drill::kKill},
                           {"stop", Drill::kStop},
                           {"partition", Drill::kPartition},
                           {"disk-full", Drill::kDiskFull},
                           {"store-loss", Drill::kStoreLoss}};

constexpr seconds kTakeOver{60};

Error not_here(const std::string& what) { return Error(Code::kNotReady, what).with("changed", "nothing"); }

std::vector<std::string> steps_of(const DrillPlan& plan) {
  std::vector<std::string> steps = {"write through " + plan.group + " into a table of its own, pgbalancer_drill.ledger",
                                    harm_text(plan)};
  if (plan.kind != Drill::kStoreLoss) steps.push_back(undo_text(plan) + " once writes go on");
  steps.push_back("wait until every server streams, compare them with the ledger, drop the table");
  return steps;
}

Status refuse_if_paused(const GroupState& state, const std::string& balancer) {
  if (!state.pause) return {};
  return Error(Code::kNotReady, balancer + " is paused since " + state.pause->since + ": nobody would take over")
      .with("changed", "nothing")
      .with("try", "pgbalancer_cluster resume");
}

// One run, from the first write to the last look.
class Run {
 public:
  Run(Session& session, Group& group, const DrillPlan& plan)
      : session_(session), group_(group), ledger_(group), harm_(session, group, result_.plan) {
    result_.plan = plan;
  }

  Result<DrillResult> run() {
    PGB_TRY(ledger_.make());
    Status done = write_and_harm();
    if (harmed_) done = bring_back(std::move(done));
    if (done.ok()) done = look_at_all();
    ledger_.writers().stop();
    if (done.ok()) done = compare();
    // What was made for the drill goes, whatever happened; not for ever if nobody takes writes.
    if (const Status gone = ledger_.remove(Deadline::after(seconds(30))); !gone.ok()) {
      result_.left = "schema pgbalancer_drill: " + gone.error().message;
    }
    if (done.ok()) return std::move(result_);
    Error error = std::move(done).error();
    if (!harmed_) error.with("changed", "nothing");
    if (harmed_) error.with("standing", harm_.standing());
    if (harmed_ && !harm_.undone()) error.with("try", harm_.remedy());
    if (!result_.left.empty()) error.with("left", result_.left);
    return error;
  }

 private:
  const DrillPlan& plan() const { return result_.plan; }

  Status wait(const std::function<bool()>& look, seconds limit, const std::string& what) {
    const Deadline patience = Deadline::after(limit);
    for (; !look(); poll(nullptr, 0, 10)) {
      PGB_TRY(session_.check_interrupted());
      if (!patience.expired()) continue;
      return Error(Code::kTimeout, what + " for " + std::to_string(limit.count()) + " seconds")
          .with("try", "pgbalancer_cluster why: what keeps the others from leading")
          .with("try", "pgbalancer_cluster status: who does not answer or stream");
    }
    return {};
  }

  Status writes_go_on(seconds limit) {
    const auto now = Clock::now();
    return wait([&] { return ledger_.writers().commits_since(now) >= 20; }, limit, "no write is acknowledged");
  }

  Status write_and_harm() {
    constexpr uint64_t kWarm = 50;
    ledger_.writers().start();
    session_.tell("write", Event::State::kRunning, "through " + plan().group);
    PGB_TRY(wait([&] { return ledger_.writers().commits() >= kWarm; }, seconds(15),
                 "no write goes through " + plan().group));
    session_.tell("write", Event::State::kOk, "through " + plan().group);
    PGB_TRY(session_.check_interrupted());
    since_ = Clock::now();
    harmed_ = true;
    PGB_TRY(harm());
    session_.tell("recover", Event::State::kRunning, "until writes go on");
    PGB_TRY(wait_taken_over());
    PGB_TRY(let_it_be_felt());
    PGB_TRY(writes_go_on(kTakeOver));
    session_.tell("recover", Event::State::kOk, "writes go on");
    return {};
  }

  Status harm() {
    session_.tell("harm", Event::State::kRunning, plan().steps.at(1));
    PGB_TRY(harm_.inflict());
    session_.tell("harm", Event::State::kOk, plan().steps.at(1));
    return {};
  }

  Status wait_taken_over() {
    if (!plan().leads) return {};
    return wait(
        [&] {
          auto state = read_state(group_);
          return state.ok() && state->opened && state->leader != plan().node;
        },
        kTakeOver, "nobody has taken over from " + plan().node);
  }

  // Nobody notices at once that a replica is cut off or cannot write: it stays so for as long as a lease.
  Status let_it_be_felt() {
    if (plan().leads || (plan().kind != Drill::kPartition && plan().kind != Drill::kDiskFull)) return {};
    const Deadline felt = Deadline::after(std::chrono::milliseconds(std::llround(group_.cluster.ha.lease * 1000)));
    for (; !felt.expired(); poll(nullptr, 0, 20)) PGB_TRY(session_.check_interrupted());
    return {};
  }

  // Also after a failure or an interrupt: then without waiting.
  Status bring_back(Status so_far) {
    if (harm_.undone()) return so_far;
    session_.tell(plan().node, Event::State::kRunning, undo_text(plan()));
    const Status whole = harm_.undo();
    return so_far.ok() ? whole : so_far;
  }

  Status look_at_all() {
    const Waiting waiting{session_, group_.cluster, group_.secrets};
    for (const model::Node& node : group_.balancer.nodes()) PGB_TRY(wait_for_node(waiting, group_.balancer, node));
    result_.recovery = std::chrono::duration<double>(Clock::now() - since_).count();
    PGB_TRY(writes_go_on(seconds(20)));
    result_.outage = ledger_.writers().outage(since_);
    return {};
  }

  Status compare() {
    result_.acknowledged = ledger_.writers().commits();
    auto primary = find_primary(group_.cluster, group_.secrets, group_.balancer);
    if (!primary.ok()) return std::move(primary).error();
    result_.primary = primary->name;
    auto lost = ledger_.missing_on(*primary);
    if (!lost.ok()) return std::move(lost).error();
    result_.lost = *lost;
    for (const model::Node& node : group_.balancer.nodes()) {
      if (node.name == primary->name) continue;
      uint64_t missing = 0;
      const Deadline patience = Deadline::after(seconds(20));  // it replays what it has
      do {
        auto now = ledger_.missing_on(node);
        missing = now.ok() ? *now : result_.acknowledged;
      } while (missing > *lost && !patience.expired() && poll(nullptr, 0, 100) == 0);
      if (missing > *lost) result_.lacking.push_back(node.name + ": " + std::to_string(missing));
    }
    return {};
  }

  Session& session_;
  Group& group_;
  DrillLedger ledger_;
  DrillResult result_;
  Harm harm_;
  Clock::time_point since_{};
  bool harmed_ = false;
};

std::string told(const DrillResult& result) {
  char text[200];
  std::snprintf(text, sizeof text, ": writes paused %.2f s, %llu client errors, %llu of %llu acknowledged commits lost",
                result.outage.gap, static_cast<unsigned long long>(result.outage.errors),
                static_cast<unsigned long long>(result.lost), static_cast<unsigned long long>(result.acknowledged));
  return text;
}

}  // namespace

std::optional<Drill> drill_of(const std::string& word) {
  for (const Word& one : kWords) {
    if (word == one.word) return one.kind;
  }
  return std::nullopt;
}

const std::vector<std::string>& drill_words() {
  static const std::vector<std::string> words = [] {
    std::vector<std::string> made;
    for (const Word& one : kWords) made.emplace_back(one.word);
    return made;
  }();
  return words;
}

Result<DrillPlan> plan_drill(Session& session, const std::string& balancer, Drill kind, const std::string& node) {
  auto group = open_group(session, balancer);
  if (!group.ok()) return std::move(group).error();
  PGB_TRY(check_node(*group, node));
  auto state = read_state(*group);
  if (!state.ok()) return std::move(state).error();
  if (!state->opened) {
    return Error(Code::kNotReady, "nobody leads " + group->balancer.name + " and takes writes just now")
        .with("changed", "nothing")
        .with("look", "pgbalancer_cluster why");
  }
  PGB_TRY(refuse_if_paused(*state, group->balancer.name));
  DrillPlan plan;
  plan.kind = kind;
  plan.group = group->balancer.name;
  plan.node = kind == Drill::kStoreLoss ? group->balancer.name : node.empty() ? state->leader : node;
  if (kind == Drill::kStoreLoss && !node.empty()) {
    return not_here("the lease store is that of " + group->balancer.name + ", not of a server");
  }
  PGB_TRY(can_harm(session, *group, kind, plan.node));
  plan.leads = plan.node == state->leader;
  if (plan.leads && group->balancer.replicas.empty()) {
    return not_here(plan.node + " is the only server: nobody would take over, and the drill would be an outage");
  }
  plan.steps = steps_of(plan);
  return plan;
}

Result<DrillResult> drill(Session& session, const DrillPlan& plan) {
  if (!session.has_record()) return session.recorded().error();
  auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", "drill");
  if (!lock.ok()) return std::move(lock).error();
  auto group = open_group(session, plan.group);
  if (!group.ok()) return std::move(group).error();
  // The servers may have changed their roles while the user was asked.
  auto state = read_state(*group);
  if (!state.ok()) return std::move(state).error();
  PGB_TRY(refuse_if_paused(*state, plan.group));
  if (!state->opened || (plan.node == state->leader) != plan.leads) {
    return not_here("the roles in " + plan.group + " have changed meanwhile").with("try", "again");
  }
  PGB_TRY(can_harm(session, *group, plan.kind, plan.node));
  const std::string what = "drill: " + plan.steps.at(1);
  session.log_event(what);
  auto result = Run(session, *group, plan).run();
  session.log_event(result.ok() ? what + told(*result) : what + ": broken off, " + result.error().message);
  return result;
}

}  // namespace pgb::cluster
