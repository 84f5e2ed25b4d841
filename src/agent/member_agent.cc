#include "agent/member_agent.h"

#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "agent/agent_server.h"
#include "agent/bootstrap.h"
#include "agent/start_over.h"
#include "base/log.h"
#include "ha/candidate.h"
#include "ha/transitions.h"
#include "ha/why.h"

namespace pgb::agent {

using ha::Action;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr milliseconds kTick{400};
constexpr milliseconds kAsleep{1500};  // from round to round
constexpr milliseconds kNap{100};
constexpr milliseconds kSoon{20};
constexpr milliseconds kFastPace{40};
constexpr milliseconds kOpeningPace{8};  // clients wait
constexpr milliseconds kPace{750};
constexpr milliseconds kRenewal{800};  // of the lease; sooner, if that is short
constexpr milliseconds kFileLook{1000};

// In all. The monotonic clock stands still meanwhile.
milliseconds suspended_time() {
  const auto read = [](clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  for (;;) {  // again, if this thread had to wait between the two: that was no sleep
    const auto before = read(CLOCK_MONOTONIC), boot = read(CLOCK_BOOTTIME);
    if (read(CLOCK_MONOTONIC) - before < kNap / 10) return std::chrono::duration_cast<milliseconds>(boot - before);
  }
}

// What the history keeps beside the changes of the leader and of the sync set, which their transactions tell.
bool is_told(Action action) {
  return action == Action::kDetach || action == Action::kFollow || action == Action::kPromote ||
         action == Action::kRestartInPlace || action == Action::kApplySync;
}

}  // namespace

MemberAgent::MemberAgent(const AgentConfig& config, std::string bin_dir, os::SignalFd signals)
    : config_(config),
      bin_dir_(std::move(bin_dir)),
      dir_(config.data_dir),
      postmaster_(config_, bin_dir_),
      memory_(dir_.parent() + "/pgbalancer.ha"),
      acts_(config_, bin_dir_, dir_, postmaster_, memory_, progress_),
      signals_(std::move(signals)),
      files_(config_) {}

MemberAgent::~MemberAgent() {
  worker_.reset();
  teller_.reset();
}

// Data of the first primary that have known no group: just made, or of a cluster that was made without failover.
// Written down at once: the first promise makes this node known.
Status MemberAgent::claim_older_data() {
  const DataStage stage = dir_.look();
  const bool whole = stage == DataStage::kReady || stage == DataStage::kInitialised;
  return whole && config_.primary && !memory_.facts().known ? memory_.set_founder(true) : Status();
}

Status MemberAgent::prepare() {
  PGB_TRY(memory_.load());
  PGB_TRY(claim_older_data());
  PGB_TRY(acts_.end_leftovers());
  if (config_.find_member(config_.name) == nullptr) {
    return Error(Code::kConfig, config_.name + " is not among the members of its own group");
  }
  own_.sync = {config_.durability != "async", {}};
  const auto ring = [this] { wake_.ring(); };
  auto store = StoreLink::open(config_, ring);
  if (!store.ok()) return std::move(store).error();
  store_ = std::move(*store);
  watch_ = std::make_unique<ServerWatch>([this] { return acts_.own_server(); }, ring);
  peers_ = std::make_unique<Peers>(config_, ring);
  worker_ = std::make_unique<Worker>();
  teller_ = std::make_unique<Worker>();
  own_.fault = ha::Fault::kNone;
  at_rest(own_);
  return {};
}

int MemberAgent::run() {
  // First of all it answers that it is there.
  auto server = serve(
      config_, progress_, postmaster_, [this](const auto& question) { return answer(question); },
      [this] { return explain(); });
  Status ready = server.ok() ? prepare() : Status(std::move(server).error());
  if (!ready.ok()) {
    log::error(ready.error().message);
    return error_info(ready.error().code).exit_code;
  }
  while (!stopping_) {
    round();
    wait();
    if (!stopping_ && own_.foreign && files_.changed()) return start_over(config_);
  }
  const int code = stop();
  return begins_anew_ ? start_over(config_) : code;
}

api::MemberAnswer MemberAgent::answer(const api::MemberQuestion& question) {
  const std::lock_guard lock(mutex_);
  const api::MemberAnswer said{known_epoch_, store_reachable_};
  const bool vouches = question.failsafe > 0 && !store_reachable_ && known_epoch_ <= question.failsafe;
  if (vouches) vouched_until_ = Clock::now() + lease_;
  return said;
}

void MemberAgent::take_done() {
  std::optional<After> done;
  {
    const std::lock_guard lock(mutex_);
    done.swap(done_);
  }
  if (!done) return;
  doing_.reset();
  if (doing_life_ == life_) {
    (*done)(own_);
  } else if (!own_.up) {
    at_rest(own_);
  }
}

// What was missed while this process itself was stopped says nothing of its server.
void MemberAgent::note_round() {
  const ha::Time now = Clock::now();
  if (last_round_ != ha::Time{} && now - last_round_ > kAsleep) awake_since_ = now;
  const milliseconds slept = suspended_time();
  if (last_round_ != ha::Time{} && slept - slept_ > kNap) {
    woke_ = now;
    log::warn("this machine was suspended for " + std::to_string((slept - slept_).count()) + " ms");
  }
  slept_ = slept;
  last_round_ = now;
}

void MemberAgent::round() {
  note_round();
  take_done();
  if (!own_.up && !doing_ && postmaster_.pid() != 0) {
    log::warn("a server runs that should not: it is ended");
    postmaster_.end_now(milliseconds(100), Deadline::after(milliseconds(800)));
  }
  const ha::ClusterView view = look();
  const ha::Decision decision = ha::decide(view, Clock::now());
  if (decision.action == Action::kFence) act(view, decision);
  const ha::Decision shown = with_failure(decision);
  show(view, shown);
  say(view, decision);
  store_->publish(publication(view, shown));
  const bool asks = view.self.server == ha::Server::kPrimary && !view.store.reachable;
  peers_->set_failsafe(asks ? view.self.epoch : 0);
  const bool lets_go = doing_ && doing_->action == Action::kRelease;
  if (ha::renews(view, decision) && !lets_go && Clock::now() >= next_renewal_) {
    store_->renew(own_.lease);
    const ha::Duration covers = view.settings.lease - view.settings.margin;
    next_renewal_ = Clock::now() + std::min<ha::Duration>(kRenewal, covers / 3);
  }
  if (decision.action != Action::kFence) act(view, decision);
  const bool settled = decision.action == Action::kKeepLease || decision.state == ha::State::kFollowing;
  watch_->set_pace(decision.state == ha::State::kOpening                     ? kOpeningPace
                   : settled && decision.event != ha::Event::kWaitsForCopies ? kPace
                                                                             : kFastPace);
  soon_ = decision.soon && !doing_;
  if (!notes_.waiting().empty()) {
    const ha::Epoch epoch = std::max(view.store.epoch.epoch, view.self.epoch);
    const bool begun = teller_->start([this, epoch, lines = notes_.waiting()] {
      for (const auto& [action, sentence] : lines) store_->tell(epoch, action, sentence);
    });
    if (begun) notes_.told();
  }
  look_at_files();
}

void MemberAgent::wait() {
  pollfd ready[] = {{signals_.fd(), POLLIN, 0}, {wake_.fd(), POLLIN, 0}};
  poll(ready, 2, static_cast<int>((soon_ ? kSoon : kTick).count()));
  wake_.clear();
  while (auto signal = signals_.read()) stopping_ = stopping_ || *signal != SIGCHLD;
}

// Members come and go while we run.
void MemberAgent::look_at_files() {
  const ha::Time now = Clock::now();
  if (now < next_file_look_ || doing_) return;
  next_file_look_ = now + kFileLook;
  if (own_.foreign || !files_.changed()) return;
  // What stopped us may be mended there. And whoever has no server yet is to make and start one by what they say now.
  const bool has_nothing = !own_.up && own_.lease == 0;
  if (has_nothing || progress_.phase() == "failed") {
    begins_anew_ = stopping_ = true;
    return;
  }
  files_.accept();
  AgentConfig config = config_;
  if (!reload_group(config).ok() || !config.has_store() || !config.find_member(config_.name)) return;
  if (config.store_endpoints != config_.store_endpoints) {
    log::info("the lease store is another one now");
    begins_anew_ = stopping_ = true;
    return;
  }
  if (config.durability != config_.durability) {  // what is asked for; the leader records it before it asks for less
    config_.durability = config.durability;
    log::info("durability is " + config_.durability + " from now on");
  }
  config_.lag_limit = config.lag_limit;
  if (config.members == config_.members) return;
  config_.members = config.members;
  peers_->follow(config_.members);
  log::info("the group has " + std::to_string(config_.members.size()) + " members by now");
}

bool MemberAgent::may_found(const ha::ClusterView& view) const {
  const bool nothing =
      view.self.server == ha::Server::kAbsent || (view.self.server == ha::Server::kBuilding && !doing_);
  if (!nothing || !config_.primary || !view.store.reachable) return false;
  if (view.store.epoch.epoch != 0 || view.store.sync || view.store.leader) return false;
  return std::all_of(view.peers.begin(), view.peers.end(),
                     [](const auto& peer) { return peer.second.system_id.empty() && peer.second.promised == 0; });
}

Status MemberAgent::found() {
  progress_.set("initdb", "making " + dir_.path());
  if (dir_.look() == DataStage::kMaking) PGB_TRY(dir_.wipe_unfinished());
  PGB_TRY(make_primary_dir(config_, bin_dir_, dir_));
  return memory_.set_founder(true);
}

MemberAgent::After MemberAgent::founded(Status done) {
  return [this, done = std::move(done)](Own& own) {
    if (!done.ok()) {
      progress_.set("failed", done.error().message);
      fail_until_ = Clock::now() + milliseconds(2000);
    }
    at_rest(own);
  };
}

MemberAgent::After MemberAgent::furnished(Status done) {
  return [this, done = std::move(done)](Own& own) {
    own.unfurnished = dir_.look() == DataStage::kInitialised;
    if (done.ok()) return;
    progress_.set("failed", done.error().message);
    fail_until_ = Clock::now() + milliseconds(1000);
  };
}

// For those who look at the group: what is tried again has failed, and only we know why.
ha::Decision MemberAgent::with_failure(ha::Decision decision) const {
  if (!own_.failure.empty()) decision.sentence += "; the last try failed: " + own_.failure;
  return decision;
}

Publication MemberAgent::publication(const ha::ClusterView& view, const ha::Decision& decision) {
  return {static_cast<const ha::NodeView&>(view.self), std::string(ha::to_string(decision.state)), decision.sentence,
          ha::commits_wait(view.self)};
}

// For people: in the log, in the state that the manager asks for, in the history.
void MemberAgent::say(const ha::ClusterView& view, const ha::Decision& decision) {
  if (own_.foreign) {
    return progress_.set("failed", dir_.path() + " holds files that we did not make; nothing was touched");
  }
  if (Clock::now() < fail_until_ || (doing_ && doing_->action == Action::kWait)) return;
  const bool news = decision.sentence != said_ && !doing_;
  if (news) {
    said_ = decision.sentence;
    log::info(std::string(ha::to_string(decision.state)) + ": " + said_);
    if (is_told(decision.action)) notes_.add(std::string(ha::to_string(decision.action)), decision.sentence);
  }
  if (doing_ && (doing_->action == Action::kFullCopy || doing_->action == Action::kRewind)) return;
  const bool leads = decision.state == ha::State::kLeading && !own_.unfurnished;
  const bool follows = decision.state == ha::State::kFollowing && view.self.streaming;
  const bool waits = decision.state == ha::State::kAbsent || decision.state == ha::State::kBuilding;
  const bool uncovered = decision.state == ha::State::kCutOff;
  const char* phase = leads || follows || uncovered ? "running" : waits ? "waiting" : "starting";
  progress_.set(phase, leads || follows ? "" : decision.sentence);
}

// A role that we cannot keep is given up at once, so that nobody has to wait for the lease to run out.
void MemberAgent::hand_over() {
  const bool led = own_.primary;
  forget_server(own_);
  own_.fault = ha::Fault::kNone;
  at_rest(own_);
  const ha::ClusterView view = look();
  const bool mine = led && view.store.reachable && view.store.leader && view.store.leader->holder == config_.name &&
                    own_.lease != 0 && view.store.leader->lease == own_.lease;
  if (!mine) return;
  const ha::Successor next = ha::successor(view, "", Clock::now());
  ha::Decision decision;
  decision.state = ha::State::kDown;
  decision.epoch = ha::next_epoch(view);
  decision.node = next.node.value_or("");
  decision.sentence = config_.name + " was told to stop and gives epoch " + std::to_string(view.store.leader->epoch) +
                      " up" + (next.node ? " in favour of " + *next.node : "");
  if (!memory_.promise(decision.epoch).ok()) return;
  Publication said = publication(view, decision);
  said.node.promised = std::max(said.node.promised, decision.epoch);
  store_->release(view, decision, said);
}

int MemberAgent::stop() {
  progress_.set("stopping", "fast shutdown");
  give_up_ = true;
  const bool copies = postmaster_.pid() == 0 && doing_ && doing_->action != Action::kRecordSync;
  if (copies) {
    log::info("stopping: what is unfinished will be started over");
    _exit(0);
  }
  own_.ends_expected = true;
  postmaster_.stop(Deadline::after(milliseconds(20000)));
  worker_.reset();
  take_done();
  hand_over();
  return 0;
}

}  // namespace pgb::agent
