// Decisions that are carried out in the lease store.
#include <algorithm>

#include "agent/member_agent.h"

namespace pgb::agent {

using ha::Action;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::milliseconds kOthersFirst{1000};  // after it gave the role up
constexpr std::chrono::milliseconds kSayAgain{100};      // to a store that did not hear it

}  // namespace

MemberAgent::Revisions MemberAgent::revisions(const ha::StoreView& store) {
  return {store.leader ? store.leader->revision : 0, store.sync ? store.sync->revision : 0};
}

// Where it stands at rest is the proof that its successor has everything, and its start takes disk and processor from
// those that clients wait for.
bool MemberAgent::lets_others_first(const ha::ClusterView& view, const ha::Decision& decision) const {
  const ha::Time now = Clock::now();
  if (decision.action != Action::kStartStandby || now >= own_.others_first) return false;
  if (decision.node.empty()) return true;
  const ha::StoreView& store = view.store;
  const bool opened = store.leader && store.sync && store.sync->leader == store.leader->holder &&
                      store.sync->epoch == store.leader->epoch;
  const bool moves = store.request && store.request->kind == ha::Request::Kind::kSwitchover;
  if (opened && !moves) return false;
  // A leader that has no other standby waits for this one.
  return std::any_of(view.peers.begin(), view.peers.end(), [&](const auto& peer) {
    const ha::NodeView& node = peer.second;
    return node.name != decision.node && node.server == ha::Server::kStandby && now - node.seen <= view.settings.fresh;
  });
}

// The promise keeps it from leading under that key again, whether the store has heard of it or not: while it has not,
// the next decision is to say it again.
MemberAgent::After MemberAgent::released(bool in_favour, bool gone, Result<std::optional<ServerFacts>> done) {
  After rest = postmaster_.pid() != 0 ? detached(std::move(done)) : [](Own&) {};
  return [this, in_favour, gone, rest = std::move(rest)](Own& own) {
    rest(own);
    if (in_favour) own.others_first = Clock::now() + kOthersFirst;
    if (gone) own.lease = 0;
    if (!gone) fail_until_ = std::max(fail_until_, Clock::now() + kSayAgain);
  };
}

bool MemberAgent::act_on_store(const ha::ClusterView& view, const ha::Decision& decision) {
  switch (decision.action) {
    case Action::kAcquire:
      begin(decision, [this, view, decision]() -> After {
        if (memory_.set_led(std::max(memory_.facts().led, decision.led)).ok()) {
          store_->acquire(view, decision, [this](uint64_t lease, ha::Time when) {
            const std::lock_guard lock(mutex_);
            asked_[lease] = when;
          });
        }
        store_->refresh();
        return [](Own&) {};
      });
      return true;
    case Action::kRecordSync:
      own_.recording = revisions(view.store);
      begin(decision, [this, view, decision]() -> After {
        const bool sent = store_->record(view, decision);
        store_->refresh();
        return [sent](Own& own) {
          if (!sent) own.recording.reset();
        };
      });
      return true;
    case Action::kRelease:
      begin(decision, [this, view, decision]() -> After {
        auto done = acts_.detach(decision.epoch);
        bool gone = false;
        if (done.ok()) {
          Publication said = publication(view, decision);
          said.node.promised = std::max(said.node.promised, decision.epoch);
          gone = store_->release(view, decision, said);
        }
        store_->refresh();
        return released(gone && !decision.node.empty(), gone, std::move(done));
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

}  // namespace pgb::agent
