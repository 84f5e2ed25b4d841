// What the agent knows, as decide() wants it.
#include <algorithm>
#include <utility>

#include "agent/member_agent.h"
#include "agent/wal_room.h"
#include "base/log.h"
#include "ha/sync_set.h"
#include "os/file.h"

namespace pgb::agent {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr milliseconds kStoreSilence{1500};
constexpr milliseconds kNoAnswer{3000};   // of a server to a question on a connection that stands
constexpr milliseconds kSettled{500};     // after a setting was found in effect
constexpr milliseconds kNoWelcome{6000};  // to a new connection
constexpr milliseconds kNoWrite{4000};    // of a primary: nothing that was written reached the disk

ha::Durability durability_of(const std::string& text) {
  if (text == "strict") return ha::Durability::kStrict;
  return text == "quorum" ? ha::Durability::kQuorum : ha::Durability::kAsync;
}

ha::Settings settings_of(const AgentConfig& config) {
  ha::Settings settings;
  settings.durability = durability_of(config.durability);
  settings.lease = ha::Duration(static_cast<int64_t>(config.lease * 1000));
  settings.lag_limit = config.lag_limit;
  settings.margin = std::min(settings.margin, settings.lease / 4);
  return settings;
}

}  // namespace

ha::ClusterView MemberAgent::look() {
  ha::ClusterView view;
  const ha::Time now = Clock::now();
  view.settings = settings_of(config_);
  view.evidence = peers_->evidence();
  for (const Member& member : config_.members) view.members.push_back(member.name);
  take_end();
  note_request();
  look_at_server(view.self);
  const StoreNews news = store_->news();
  view.store = news.view;
  if (view.store.request && view.store.request->id != own_.request_ready) view.store.request.reset();
  view.store.reachable = news.ever && now - news.asked < kStoreSilence;
  for (const auto& [name, node] : news.nodes) {
    if (name == config_.name) continue;
    view.peers[name] = node.said.node;
    view.peers[name].seen = node.seen;
  }
  look_at_key(news, view);
  look_back(news, view.self);
  ha::forget_cover(view, woke_);
  for (const auto& [name, said] : view.evidence) {
    if (said.contact == ha::Evidence::Contact::kRefused) view.self.refused.push_back(name);
  }
  const std::lock_guard lock(mutex_);
  view.self.vouched_until = vouched_until_;
  lease_ = view.settings.lease;
  store_reachable_ = view.store.reachable;
  known_epoch_ = std::max({known_epoch_, view.self.promised, view.self.led, view.self.epoch, view.store.epoch.epoch});
  return view;
}

// A leader refuses what its standbys are not ready for: it looks at them once more before it decides.
void MemberAgent::note_request() {
  constexpr milliseconds kLook{1000};
  const auto request = store_->news().view.request;
  if (!request || own_.request_ready == request->id) return;
  const ha::Time now = Clock::now();
  if (own_.request != request->id) {
    own_.request = request->id;
    own_.request_since = now;
    watch_->ask_now();
  }
  const bool looks = own_.up && own_.primary && watch_->state().answered < own_.request_since;
  if (!looks || now - own_.request_since > kLook) own_.request_ready = request->id;
}

// The lease, and what this agent said to the group in an earlier life.
void MemberAgent::look_at_key(const StoreNews& news, ha::ClusterView& view) {
  const auto& key = news.view.leader;
  ha::OwnView& self = view.self;
  {
    const std::lock_guard lock(mutex_);
    // One of an epoch before that of the server is from before the store went back.
    const bool old = key && own_.up && own_.primary && key->epoch < own_.epoch;
    if (key && key->holder == config_.name && asked_.contains(key->lease) && !old) own_.lease = key->lease;
    if (own_.lease != 0) self.renewed = std::max(store_->renewed(own_.lease), asked_[own_.lease]);
  }
  self.lease = own_.lease;
  self.recording = own_.recording && *own_.recording == revisions(news.view);
  const bool mine = key && key->holder == config_.name && own_.lease != 0 && key->lease == own_.lease;
  if (mine && self.server == ha::Server::kPrimary) self.epoch = own_.epoch = std::max(own_.epoch, key->epoch);
  const auto before = news.nodes.find(config_.name);
  if (before != news.nodes.end() && before->second.said.node.promised > memory_.facts().promised) {
    if (!memory_.promise(before->second.said.node.promised).ok()) fail_until_ = Clock::now() + milliseconds(500);
  }
  const Memory::Facts facts = memory_.facts();
  self.promised = facts.promised;
  self.promised_at = facts.promised_at;
  self.led = facts.led;
  self.founder = facts.founder;
  if (view.store.request && own_.checkpointed_for == view.store.request->id) self.checkpointed = true;
}

ha::Duration MemberAgent::recovery() const {
  constexpr uint64_t kBytesPerMs = 150'000;
  constexpr ha::Duration kStart{150};
  // After a crash the server first writes every file of its data directory through to the disk, used or not.
  constexpr ha::Duration kSyncAll{1500};
  const uint64_t bytes = own_.last_flushed > own_.redo ? own_.last_flushed - own_.redo : 0;
  const ha::Duration sync = own_.fault == ha::Fault::kNone ? ha::Duration{0} : kSyncAll;
  return kStart + sync + ha::Duration(static_cast<int64_t>(bytes / kBytesPerMs));
}

ha::Health MemberAgent::health_of(const ServerWatch::State& state) const {
  const ha::Time now = Clock::now(), since = std::max(own_.up_since, awake_since_);
  if (postmaster_.frozen()) return ha::Health::kTcpOnly;
  if (now - std::max(state.answered, since) > kNoAnswer) return ha::Health::kTcpOnly;
  if (now - std::max(state.welcomed, since) > kNoWelcome) return ha::Health::kTcpOnly;
  if (own_.primary && now - std::max(state.wrote, since) > kNoWrite) return ha::Health::kStalled;
  return ha::Health::kGood;
}

void MemberAgent::look_at_server(ha::OwnView& self) {
  self.name = config_.name;
  self.failed_rewinds = own_.failed_rewinds;
  self.failed_starts = own_.failed_starts;
  self.failed_promotions = own_.failed_promotions;
  self.spent = own_.spent;
  self.fault = own_.fault;
  self.recovery = recovery();
  self.up_since = own_.up_since;
  self.trouble = own_.trouble;
  self.following = own_.following;
  self.sync = own_.sync;
  self.sync_since = own_.sync_since;
  if (const auto free = free_for_server(dir_.path())) self.free_disk = *free;
  const bool builds = doing_ && (doing_->action == ha::Action::kRewind || doing_->action == ha::Action::kFullCopy);
  if (builds) {
    self.server = ha::Server::kBuilding;
  } else if (!own_.up) {
    const bool starts =
        doing_ && (doing_->action == ha::Action::kStartStandby || doing_->action == ha::Action::kRestartInPlace);
    self.server = starts ? ha::Server::kStarting : own_.server;
    if (!starts) self.flushed = own_.at_rest;
  } else {
    const bool promotes = doing_ && doing_->action == ha::Action::kPromote;
    self.server = own_.primary ? ha::Server::kPrimary : promotes ? ha::Server::kStarting : ha::Server::kStandby;
    const ServerWatch::State state = watch_->state();
    self.health = health_of(state);
    if (self.health == ha::Health::kGood) own_.well_at = Clock::now();
    self.well_at = own_.well_at;
    self.epoch = own_.primary ? own_.epoch : 0;
    if (state.facts && state.facts->in_recovery != own_.primary) {
      own_.system_id = state.facts->system_id;
      if (own_.primary) look_at_links(*state.facts, Clock::now());
      if (own_.primary) look_at_sync(*state.facts);
      if (own_.primary) self.flushed = ha::Position{state.facts->timeline, state.facts->flushed};
      if (!own_.primary) look_at_standby(*state.facts, self);
      own_.last_flushed = state.facts->flushed;
    }
  }
  self.links = own_.links;
  self.applying = own_.applying;
  if (self.server != ha::Server::kAbsent) self.system_id = own_.system_id;
  // Others judge by a primary's history whether they can follow it: it always has one.
  if (own_.up && own_.primary) self.history = own_.history;
  if (!self.flushed) return;
  if (own_.history.empty() || own_.history.back().timeline != self.flushed->timeline) {
    own_.history = read_history(dir_.path(), self.flushed->timeline);
  }
  self.history = history_until(own_.history, self.flushed->lsn);
  if (self.history.empty()) return self.flushed.reset();
  self.flushed->timeline = self.history.back().timeline;
}

// How far it was when it ended in disorder, or its agent did: nobody else knows what it has not given to anybody.
void MemberAgent::look_back(const StoreNews& news, ha::OwnView& self) {
  const auto said = news.nodes.find(config_.name);
  if (self.flushed) {
    own_.was_at = self.flushed;
  } else if (!own_.was_at && said != news.nodes.end()) {
    const ha::NodeView& before = said->second.said.node;
    own_.was_at = before.flushed ? before.flushed : before.was_at;
  }
  if (!self.flushed) self.was_at = own_.was_at;
}

// Somebody altered it: what is in effect is not known until it is set again.
void MemberAgent::look_at_sync(const ServerFacts& facts) {
  const bool news = !own_.applying && facts.asked > own_.sync_seen + kSettled;
  if (news && facts.sync_names != ha::standby_names(own_.sync)) own_.applying = own_.sync;
}

void MemberAgent::look_at_standby(const ServerFacts& facts, ha::OwnView& self) {
  self.replayed = facts.replayed;
  if (!own_.following) {
    // Nothing comes in: what was read after the walreceiver had ended is what there is, unless its end was not known
    // yet.
    const ServerFacts& read = own_.read && own_.read->end_known ? *own_.read : facts;
    const bool old = own_.read && read.asked < own_.read->asked;
    if (!read.end_known || read.receiver || old) return;
    const ha::Timeline timeline = timeline_at(dir_.path(), read.flushed, read.segment_size);
    if (timeline != 0) self.flushed = ha::Position{timeline, read.flushed};
    return;
  }
  self.streaming = facts.streaming;
  if (facts.streaming) {
    own_.streamed_at = facts.asked;
    own_.failed_rewinds = 0;
  }
  if (!facts.end_known) return;
  const ha::Timeline timeline = facts.streaming && facts.timeline != 0
                                    ? facts.timeline
                                    : timeline_at(dir_.path(), facts.flushed, facts.segment_size);
  if (timeline != 0) self.flushed = ha::Position{timeline, facts.flushed};
}

void MemberAgent::look_at_links(const ServerFacts& facts, ha::Time now) {
  for (const auto& [name, sender] : facts.senders) {
    if (config_.find_member(name) == nullptr || name == config_.name) continue;
    ha::Link& link = own_.links[name];
    if (link.streaming != sender.streaming || link.since == ha::Time{}) link.since = now;
    link.streaming = sender.streaming;
    link.flushed = sender.flushed;
  }
  for (auto& [name, link] : own_.links) {
    const auto sender = facts.senders.find(name);
    if (!link.streaming || (sender != facts.senders.end() && sender->second.streaming)) continue;
    link.streaming = false;
    link.since = now;
  }
}

// A server of ours that is not there any more.
void MemberAgent::take_end() {
  std::string how;
  postmaster_.reap(&how);
  if (!own_.up || postmaster_.pid() != 0) return;
  const bool expected = own_.ends_expected;
  if (!expected) {
    const std::string text = "postgres ended unexpectedly" + (how.empty() ? "" : " (" + how + ")");
    log::warn(text);
    own_.fault = ha::Fault::kCrashed;
    notes_.add("crash", config_.name + ": " + text);
  }
  if (doing_ && doing_->action == ha::Action::kPromote) spend(own_, doing_->epoch);
  forget_server(own_);
  at_rest(own_);
}

void MemberAgent::forget_server(Own& own) {
  own.up = false;
  own.ends_expected = false;
  ++life_;
  own.following.reset();
  own.trouble = ha::Trouble::kNone;
  own.read.reset();
  for (auto& [name, link] : own.links) {
    if (std::exchange(link.streaming, false)) link.since = Clock::now();
  }
  own.applying.reset();  // it is started with the setting that it had before
  own.at_rest.reset();
  own.epoch = 0;
  watch_->set_running(false);
}

// What stands on the disk while no server of ours runs.
void MemberAgent::at_rest(Own& own) {
  const DataStage stage = dir_.look();
  own.foreign = stage == DataStage::kForeign;
  own.server = stage == DataStage::kEmpty    ? ha::Server::kAbsent
               : stage == DataStage::kMaking ? ha::Server::kBuilding
                                             : ha::Server::kStopped;
  own.unfurnished = stage == DataStage::kInitialised;
  own.at_rest.reset();
  own.history.clear();
  const auto rest = acts_.look_at_rest();
  if (!rest) return;
  own.system_id = rest->system_id;
  own.redo = rest->redo;
  if (own.fault == ha::Fault::kNone) own.at_rest = rest->flushed;
}

}  // namespace pgb::agent
