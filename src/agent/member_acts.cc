// How each decision is carried out.
#include <poll.h>

#include <algorithm>

#include "agent/bootstrap.h"
#include "agent/member_agent.h"
#include "base/log.h"
#include "ha/rejoin.h"
#include "ha/sync_set.h"

namespace pgb::agent {

using ha::Action;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr milliseconds kCleanStop{8000};
constexpr milliseconds kTroubleAfter{1500};  // without a stream

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

MemberAgent::After MemberAgent::started(Status done, bool primary) {
  const std::optional<ServerFacts> known = done.ok() ? acts_.ask() : std::nullopt;
  return [this, done = std::move(done), primary, known](Own& own) {
    if (!done.ok()) {
      log::error("the server does not start: " + done.error().message);
      ++own.failed_starts;
      fail_until_ = Clock::now() + milliseconds(std::min(200 << std::min(own.failed_starts, 5), 5000));
      at_rest(own);
      return;
    }
    own.up = true;
    own.primary = primary;
    own.ends_expected = false;
    own.failed_starts = 0;
    own.fault = ha::Fault::kNone;
    own.up_since = Clock::now();
    own.epoch = primary ? memory_.facts().led : 0;
    own.read.reset();
    own.links.clear();
    if (primary) own.sync_since = own.last_flushed;
    watch_->set_running(true, known);
  };
}

MemberAgent::After MemberAgent::detached(Result<std::optional<ServerFacts>> done, ha::Epoch epoch) {
  return [this, done = std::move(done), epoch](Own& own) {
    if (!done.ok()) {
      log::warn("detaching: " + done.error().message);
      fail_until_ = Clock::now() + milliseconds(100);
      return;
    }
    if (epoch > promised_ || own.promised_at == ha::Time{}) own.promised_at = Clock::now();
    promised_ = std::max(promised_, epoch);
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
    if (done.ok()) {
      own.failed_rewinds = 0;
    } else {
      progress_.set(done.error().code == Code::kNotReady ? "waiting" : "failed", done.error().message);
      if (rewind) ++own.failed_rewinds;
      fail_until_ = Clock::now() + milliseconds(rewind ? 200 : 500);
    }
    at_rest(own);
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
  tell_later("fence", decision.sentence);
  forget_server(own_);
  at_rest(own_);
}

void MemberAgent::act(const ha::ClusterView& view, const ha::Decision& decision) {
  if (decision.action == Action::kFence) return fence(decision);
  const bool starts = doing_ && doing_->action == Action::kRestartInPlace && !own_.up;
  if (starts && own_.primary && own_.lease != 0 && Clock::now() >= ha::covered_until(view)) {
    ha::Decision late = decision;
    late.sentence = config_.name + " stops its server, which was being restarted: its lease has run out";
    return fence(late);
  }
  if (doing_ || Clock::now() < fail_until_ || own_.foreign) return;
  if (beside_decisions(view, decision)) return;
  if (decision.action == Action::kWait || decision.action == Action::kKeepLease) return;
  if (!act_on_store(view, decision)) act_on_server(view, decision);
}

bool MemberAgent::act_on_store(const ha::ClusterView& view, const ha::Decision& decision) {
  switch (decision.action) {
    case Action::kAcquire:
      begin(decision, [this, view, decision]() -> After {
        const bool running = view.self.server == ha::Server::kPrimary;
        ha::Epoch led = memory_.facts().led;
        if (running) led = decision.epoch;
        if (!view.store.sync) led = std::max(led, decision.epoch - 1);
        std::map<uint64_t, ha::Time> asked;
        if (memory_.set_led(led).ok()) {
          store_->acquire(view, decision, [&](uint64_t lease, ha::Time when) { asked[lease] = when; });
        }
        store_->refresh();
        return [asked](Own& own) {
          own.asked.insert(asked.begin(), asked.end());
          own.failed_starts = 0;
        };
      });
      return true;
    case Action::kRecordSync:
      begin(decision, [this, view, decision]() -> After {
        store_->record(view, decision, give_up_);
        store_->refresh();
        return [](Own&) {};
      });
      return true;
    case Action::kRelease:
      own_.lease = 0;
      begin(decision, [this, view, decision]() -> After {
        auto done = acts_.detach(decision.epoch);
        if (done.ok()) {
          Publication said = publication(view, decision);
          said.node.promised = std::max(said.node.promised, decision.epoch);
          store_->release(view, decision, said);
        }
        store_->refresh();
        return postmaster_.pid() == 0
                   ? After([this, epoch = decision.epoch](Own&) { promised_ = std::max(promised_, epoch); })
                   : detached(std::move(done), decision.epoch);
      });
      return true;
    case Action::kClearRequest:
      begin(decision,
            [this, id = view.store.request ? view.store.request->id : 0, text = decision.sentence]() -> After {
              store_->clear_request(id, text);
              store_->refresh();
              return [](Own& own) { own.checkpointed_for = 0; };
            });
      return true;
    default: return false;
  }
}

void MemberAgent::act_on_server(const ha::ClusterView& view, const ha::Decision& decision) {
  const Member* leader = config_.find_member(decision.node);
  const uint64_t request = view.store.request ? view.store.request->id : 0;
  const auto clear = [this, request, text = decision.sentence] {
    return request == 0 || store_->clear_request(request, text);
  };
  switch (decision.action) {
    case Action::kStartStandby:
      own_.primary = false;
      return begin(decision, [this]() -> After { return started(acts_.start_standby(), false); });
    case Action::kRestartInPlace: {
      const bool was_up = own_.up;
      const bool primary = !own_.up || own_.primary;
      const ha::ServerSync sync = own_.sync;
      own_.primary = primary;
      if (was_up) own_.ends_expected = true, forget_server(own_), own_.primary = primary;
      return begin(decision, [this, was_up, primary, sync, clear]() -> After {
        if (was_up) {
          clear();
          acts_.stop_cleanly(Deadline::after(kCleanStop));
        }
        Status up = primary ? acts_.restart_in_place(sync) : acts_.start_standby();
        if (up.ok() && give_up_) {
          postmaster_.end_now(milliseconds(100), Deadline::after(std::chrono::seconds(2)));
          up = Error(Code::kNotReady, "it was fenced meanwhile");
        }
        return started(std::move(up), primary);
      });
    }
    case Action::kDetach:
      return begin(decision,
                   [this, epoch = decision.epoch]() -> After { return detached(acts_.detach(epoch), epoch); });
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
          if (epoch > promised_) promised_ = epoch, own.promised_at = Clock::now();
          own.read.reset();
          own.trouble = ha::Trouble::kNone;
          own.followed_at = own.streamed_at = Clock::now();
        };
      });
    case Action::kPromote:
      return begin(decision, [this, decision, at = own_.read ? own_.read->flushed : own_.last_flushed]() -> After {
        Status done = acts_.promote(decision.timeline, decision.epoch, decision.sync);
        if (!done.ok()) {
          postmaster_.end_now(milliseconds(200), Deadline::after(std::chrono::seconds(2)));
          return [this, done = std::move(done)](Own& own) {
            log::error("promotion failed: " + done.error().message);
            own.ends_expected = true;
            ++own.failed_starts;
          };
        }
        return [after = started(Status(), true), decision, at](Own& own) {
          after(own);
          own.epoch = decision.epoch;
          own.sync = decision.sync;
          own.sync_since = at;
          own.following.reset();
        };
      });
    case Action::kApplySync: return begin(decision, [this, sync = decision.sync]() -> After { return apply(sync); });
    case Action::kRewind:
    case Action::kFullCopy: {
      if (leader == nullptr) return;
      const bool asked = view.store.request && view.store.request->kind == ha::Request::Kind::kReinit &&
                         view.store.request->node == config_.name;
      forget_server(own_);
      own_.primary = false;
      tell_later(std::string(ha::to_string(decision.action)), decision.sentence);
      return begin(decision,
                   [this, to = *leader, asked, clear, rewind = decision.action == Action::kRewind]() -> After {
                     if (asked) clear();
                     return rebuilt(rewind ? acts_.rewind(to) : acts_.full_copy(to), rewind);
                   });
    }
    case Action::kCheckpoint:
      return begin(decision, [this, request]() -> After {
        if (const Status done = acts_.checkpoint(); !done.ok()) log::warn("checkpoint: " + done.error().message);
        return [request](Own& own) { own.checkpointed_for = request; };
      });
    case Action::kStopCleanly:
      own_.ends_expected = true;
      tell_later("stop", decision.sentence);
      return begin(decision, [this]() -> After {
        acts_.stop_cleanly(Deadline::after(kCleanStop));
        return [](Own&) {};
      });
    default: return;
  }
}

// A setting that may or may not be in effect would be no ground to go on from: until it is, or the server is gone.
MemberAgent::After MemberAgent::apply(const ha::ServerSync& sync) {
  while (postmaster_.pid() != 0 && !give_up_) {
    auto done = acts_.apply_sync(sync);
    if (done.ok()) {
      return [sync, at = done->flushed](Own& own) {
        own.sync = sync;
        own.sync_since = at;
      };
    }
    log::warn("synchronous_standby_names: " + done.error().message);
    poll(nullptr, 0, 50);
  }
  return [](Own&) {};
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
  const ServerWatch::State state = watch_->state();
  if (decision.state == ha::State::kLeading && own_.unfurnished) {
    begin(beside, [this]() -> After { return furnished(furnish_primary(config_, dir_)); });
    return true;
  }
  const bool leads = decision.state == ha::State::kLeading || decision.state == ha::State::kOpening;
  if (leads && state.facts && state.facts->asked > own_.up_since + milliseconds(500) &&
      state.facts->sync_names != ha::standby_names(own_.sync)) {
    begin(beside, [this, sync = own_.sync]() -> After { return apply(sync); });
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
