// How each decision is carried out.
#include <algorithm>
#include <utility>

#include "agent/bootstrap.h"
#include "agent/member_agent.h"
#include "base/log.h"
#include "ha/rejoin.h"

namespace pgb::agent {

using ha::Action;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr milliseconds kCleanStop{8000};
constexpr milliseconds kQuiet{600};  // for balancers to send their work elsewhere
constexpr milliseconds kApply{3000};
constexpr milliseconds kRoomLook{10000};     // at the room for WAL
constexpr milliseconds kTroubleAfter{1500};  // without a stream

// Tools say why in several.
std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

// The worker runs one at a time; what it found out is taken over by the loop.
void MemberAgent::begin(const ha::Decision& decision, std::function<After()> what) {
  {
    const std::lock_guard lock(mutex_);
    const bool elects = decision.action == Action::kDetach || decision.action == Action::kAcquire;
    const bool standby = !own_.up || !own_.primary;
    if (elects && standby && Clock::now() < vouched_until_) return;  // it was promised since the view was made
    known_epoch_ = std::max(known_epoch_, decision.epoch);
  }
  give_up_ = false;
  doing_ = decision;
  doing_life_ = life_;
  const bool began = worker_->start([this, what = std::move(what)] {
    After after = what();
    {
      const std::lock_guard lock(mutex_);
      done_ = std::move(after);
    }
    wake_.ring();
  });
  if (!began) doing_.reset();
}

// `epoch`: under which it is a primary; 0: it is a standby.
MemberAgent::After MemberAgent::started(Status done, ha::Epoch epoch, std::optional<ServerFacts> known) {
  if (done.ok() && !known) known = acts_.ask();
  return [this, done = std::move(done), epoch, known = std::move(known)](Own& own) {
    if (!done.ok()) {
      log::error("the server does not start: " + done.error().message);
      progress_.set("failed", done.error().message);
      ++own.failed_starts;
      fail_until_ = Clock::now() + milliseconds(std::min(200 << std::min(own.failed_starts, 5), 5000));
      at_rest(own);
      return;
    }
    const bool primary = epoch != 0;
    own.up = true;
    own.primary = primary;
    own.ends_expected = false;
    own.failed_starts = 0;
    if (primary) own.failed_promotions = 0;
    own.failure.clear();
    own.fault = ha::Fault::kNone;
    own.up_since = own.well_at = own.sync_seen = Clock::now();
    own.epoch = epoch;
    own.following.reset();
    own.read.reset();
    own.links.clear();
    // All that was acknowledged under any setting before is within what there is now.
    if (primary && known) own.sync_since = own.last_flushed = known->flushed;
    if (primary && !known) own.applying = own.sync;
    watch_->set_running(true, known);
  };
}

MemberAgent::After MemberAgent::detached(Result<std::optional<ServerFacts>> done) {
  return [this, done = std::move(done)](Own& own) {
    if (!done.ok()) {
      log::warn("detaching: " + done.error().message);
      if (own.following) own.following->epoch = 0;  // it may have let go: whoever leads is followed anew
      fail_until_ = Clock::now() + milliseconds(100);
      return;
    }
    own.following.reset();
    own.trouble = ha::Trouble::kNone;
    own.read = *done;
    if (!*done) own.ends_expected = true, own.fault = ha::Fault::kStalled;
  };
}

MemberAgent::After MemberAgent::rebuilt(Status done, bool rewind) {
  return [this, done = std::move(done), rewind](Own& own) {
    own.fault = ha::Fault::kNone;
    own.trouble = ha::Trouble::kNone;
    own.failure = done.ok() ? "" : one_line(done.error().message);
    if (done.ok()) {
      own.failed_rewinds = own.failed_promotions = 0;
      notes_.forget_last();
    } else {
      // Nothing was begun, which speaks for no full copy: a leader has its roles soon, or takes connections again.
      const bool not_yet = done.error().code == Code::kNotReady;
      progress_.set(not_yet ? "waiting" : "failed", done.error().message);
      if (rewind && !not_yet) ++own.failed_rewinds;
      fail_until_ = Clock::now() + milliseconds(not_yet ? 100 : rewind ? 200 : 500);
    }
    at_rest(own);
  };
}

MemberAgent::After MemberAgent::rewound(const Member& to, ha::Epoch epoch) {
  Status done = acts_.rewind(to, epoch);
  if (!done.ok()) return rebuilt(std::move(done), true);
  return [whole = rebuilt(Status(), true), up = started(Status(), 0), name = to.name, epoch](Own& own) {
    whole(own);
    up(own);
    own.following = ha::Following{name, epoch};
    own.followed_at = own.streamed_at = Clock::now();
  };
}

void MemberAgent::fence(const ha::Decision& decision) {
  const auto began = Clock::now();
  log::warn("fencing: " + decision.sentence);
  give_up_ = true;
  own_.ends_expected = true;
  const ha::Health health = own_.up ? health_of(watch_->state()) : ha::Health::kGood;
  const bool gone = postmaster_.end_now(milliseconds(150), Deadline::after(milliseconds(800)));
  if (!gone) {
    log::error("the server survives SIGKILL: its disk hangs; it is tried again");
    return;
  }
  own_.fault = decision.event == ha::Event::kDiskFull ? ha::Fault::kDiskFull
               : health != ha::Health::kGood          ? ha::Fault::kStalled
                                                      : ha::Fault::kNone;
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - began).count();
  log::warn("the server is stopped after " + std::to_string(took) + " ms");
  notes_.add("fence", decision.sentence);
  forget_server(own_);
  at_rest(own_);
}

// One without the WAL that it needs waits for it for ever. The worker finds it ended.
void MemberAgent::end_start(const ha::Decision& decision) {
  if (postmaster_.pid() == 0) return;
  log::info(decision.sentence);
  postmaster_.end_now(milliseconds(150), Deadline::after(milliseconds(800)));
}

void MemberAgent::act(const ha::ClusterView& view, const ha::Decision& decision) {
  if (decision.action == Action::kFence && decision.state == ha::State::kStarting) return end_start(decision);
  if (decision.action == Action::kFence) return fence(decision);
  const bool starts = doing_ && doing_->action == Action::kRestartInPlace && !own_.up;
  if (starts && own_.primary && own_.lease != 0 && Clock::now() >= ha::covered_until(view)) {
    ha::Decision late = decision;
    late.sentence = config_.name + " stops its server, which was being restarted: its lease has run out";
    return fence(late);
  }
  if (doing_ || Clock::now() < fail_until_ || own_.foreign) return;
  if (lets_others_first(view, decision) || beside_decisions(view, decision)) return;
  if (decision.action == Action::kWait || decision.action == Action::kKeepLease) return;
  if (!act_on_store(view, decision)) act_on_server(view, decision);
}

void MemberAgent::act_on_server(const ha::ClusterView& view, const ha::Decision& decision) {
  const Member* leader = config_.find_member(decision.node);
  const uint64_t request = view.store.request ? view.store.request->id : 0;
  const auto clear = [this, request, text = decision.sentence] {
    if (request != 0) store_->clear_request(request, text);
  };
  switch (decision.action) {
    case Action::kStartStandby:
      own_.primary = false;
      return begin(decision, [this]() -> After { return started(acts_.start_standby(), 0); });
    case Action::kRestartInPlace: return restart(decision);
    case Action::kDetach:
      return begin(decision, [this, epoch = decision.epoch]() -> After { return detached(acts_.detach(epoch)); });
    case Action::kFollow:
      // Whether it can follow is only known once it has read all WAL of its own.
      if (leader == nullptr || !view.self.flushed) return;
      return begin(decision, [this, to = *leader, epoch = decision.epoch]() -> After {
        Status done = acts_.follow(to, epoch);
        return [this, done = std::move(done), to, epoch](Own& own) {
          if (!done.ok()) {
            log::warn("following " + to.name + ": " + done.error().message);
            fail_until_ = Clock::now() + milliseconds(200);
            return;
          }
          own.following = ha::Following{to.name, epoch};
          own.read.reset();
          own.trouble = ha::Trouble::kNone;
          own.followed_at = own.streamed_at = Clock::now();
        };
      });
    case Action::kPromote: return promote(decision);
    case Action::kApplySync:
      own_.applying = decision.sync;
      return begin(decision, [this, sync = decision.sync]() -> After { return apply(sync); });
    case Action::kRewind:
    case Action::kFullCopy: {
      if (leader == nullptr) return;
      const bool asked = view.store.request && view.store.request->kind == ha::Request::Kind::kReinit &&
                         view.store.request->node == config_.name;
      forget_server(own_);
      own_.primary = false;
      notes_.add(std::string(ha::to_string(decision.action)), decision.sentence);
      return begin(decision,
                   [this, to = *leader, asked, clear, epoch = decision.epoch,
                    rewind = decision.action == Action::kRewind && !asked]() -> After {
                     if (asked && acts_.give_data_up().ok()) clear();
                     return rewind ? rewound(to, epoch) : rebuilt(acts_.full_copy(to, epoch), false);
                   });
    }
    case Action::kCheckpoint:
      return begin(decision, [this, request, target = decision.node]() -> After {
        if (const Status done = acts_.checkpoint(target); !done.ok()) log::warn("checkpoint: " + done.error().message);
        return [request](Own& own) { own.checkpointed_for = request; };
      });
    case Action::kStopCleanly:
      own_.ends_expected = true;
      notes_.add("stop", decision.sentence);
      return begin(decision, [this, lease = own_.lease]() -> After {
        store_->ask_for_quiet(lease, Deadline::after(kQuiet));
        acts_.stop_cleanly(Deadline::after(kCleanStop));
        return [](Own&) {};
      });
    default: return;
  }
}

// Until it is seen to be in effect, it is what is being applied: the next decision is to do it again.
MemberAgent::After MemberAgent::apply(const ha::ServerSync& sync) {
  auto done = acts_.apply_sync(sync, Deadline::after(kApply));
  return [this, sync, done = std::move(done)](Own& own) {
    if (!done.ok()) {
      log::warn("synchronous_standby_names: " + done.error().message);
      fail_until_ = Clock::now() + milliseconds(50);
      return;
    }
    own.sync = sync;
    own.sync_since = done->flushed;
    own.sync_seen = Clock::now();
    own.applying.reset();
  };
}

void MemberAgent::restart(const ha::Decision& decision) {
  own_.primary = true;
  begin(decision, [this, epoch = decision.epoch, sync = own_.sync]() -> After {
    store_->end_quiet();  // a switchover that came to nothing
    Status up = acts_.restart_in_place(sync);
    if (up.ok() && give_up_) {
      postmaster_.end_now(milliseconds(100), Deadline::after(std::chrono::seconds(2)));
      up = Error(Code::kNotReady, "it was fenced meanwhile");
    }
    return started(std::move(up), epoch);
  });
}

void MemberAgent::promote(const ha::Decision& decision) {
  own_.sync = decision.sync;  // also if the server is gone before we hear that it was done
  begin(decision, [this, decision]() -> After {
    auto done = acts_.promote(decision.timeline, decision.epoch, decision.sync);
    if (!done.ok()) {
      log::error("promotion failed: " + done.error().message);
      postmaster_.end_now(milliseconds(200), Deadline::after(std::chrono::seconds(2)));
      return [epoch = decision.epoch](Own& own) {
        own.ends_expected = true;
        spend(own, epoch);
      };
    }
    return started(Status(), decision.epoch, std::move(*done));
  });
}

// The loop may have seen the end of the server first.
void MemberAgent::spend(Own& own, ha::Epoch epoch) {
  if (std::exchange(own.spent, epoch) != epoch) ++own.failed_promotions;
}

// A stream that begins and breaks off, over and over, because the histories differ.
void MemberAgent::look_at_ladder(const ha::ClusterView& view) {
  if (!own_.following || own_.trouble != ha::Trouble::kNone || !view.self.flushed) return;
  const auto leader = view.peers.find(own_.following->leader);
  const bool leads = leader != view.peers.end() && leader->second.server == ha::Server::kPrimary &&
                     leader->second.epoch == own_.following->epoch && !leader->second.history.empty();
  if (!leads || Clock::now() - own_.followed_at < kTroubleAfter) return;
  if (ha::rejoin(view.self, leader->second).rung != ha::Rung::kFollow) own_.trouble = ha::Trouble::kDiverged;
}

// What is to be done that is no matter of who leads. True if it has begun.
bool MemberAgent::beside_decisions(const ha::ClusterView& view, const ha::Decision& decision) {
  const bool quiet = decision.action == Action::kWait || decision.action == Action::kKeepLease;
  ha::Decision beside;
  beside.action = Action::kWait;
  if (!quiet) return false;
  if (may_found(view)) {
    begin(beside, [this]() -> After { return founded(found()); });
    return true;
  }
  // A strict one opens only when somebody has copied it, who needs the roles for that.
  const bool opens = decision.state == ha::State::kOpening || decision.state == ha::State::kLeading;
  if (opens && own_.unfurnished) {
    begin(beside, [this]() -> After { return furnished(furnish_primary(config_, dir_)); });
    return true;
  }
  if (decision.state == ha::State::kLeading && own_.slots_of != own_.epoch && !own_.unfurnished) {
    begin(beside, [this, epoch = own_.epoch]() -> After {
      acts_.make_slots();
      store_->trim_history();
      return [epoch](Own& own) { own.slots_of = epoch; };
    });
    return true;
  }
  if (decision.state == ha::State::kLeading && !own_.applying && Clock::now() >= own_.next_room_look) {
    own_.next_room_look = Clock::now() + kRoomLook;
    begin(beside, [this, sync = own_.sync]() -> After {
      if (const Status done = acts_.follow_room(sync); !done.ok()) log::warn(done.error().message);
      return [](Own&) {};
    });
    return true;
  }
  look_at_ladder(view);
  const ha::Time now = Clock::now();
  const bool dry = decision.state == ha::State::kFollowing && own_.trouble == ha::Trouble::kNone && own_.following &&
                   now - std::max(own_.streamed_at, own_.followed_at) > kTroubleAfter && !view.self.streaming;
  const Member* leader = dry ? config_.find_member(own_.following->leader) : nullptr;
  if (leader == nullptr || !view.self.flushed || now < next_upstream_look_) return false;
  next_upstream_look_ = now + milliseconds(1000);
  begin(beside, [this, leader = *leader, mine = *view.self.flushed]() -> After {
    const ha::Trouble trouble = acts_.trouble_with(leader, mine);
    return [trouble](Own& own) { own.trouble = trouble; };
  });
  return true;
}

}  // namespace pgb::agent
