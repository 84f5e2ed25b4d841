// What people are told who ask why: the view of the last round, in words.
#include "agent/member_agent.h"
#include "ha/why.h"

namespace pgb::agent {

using Clock = std::chrono::steady_clock;

void MemberAgent::show(const ha::ClusterView& view, const ha::Decision& decision) {
  auto sight =
      std::make_shared<const Sight>(Sight{view, std::string(ha::to_string(decision.state)), decision.sentence});
  const std::lock_guard lock(mutex_);
  sight_ = std::move(sight);
}

api::Explanation MemberAgent::explain() const {
  api::Explanation told;
  told.node = config_.name;
  std::shared_ptr<const Sight> sight;
  {
    const std::lock_guard lock(mutex_);
    sight = sight_;
  }
  if (!sight) {
    told.summary = config_.name + " has just been started and knows nothing yet";
    return told;
  }
  const ha::Time now = Clock::now();
  const ha::Why why = ha::why(sight->view, now);
  const StoreNews news = store_->news();
  told.store_reachable = sight->view.store.reachable;
  told.paused = sight->view.store.paused;
  if (sight->view.store.leader) told.leader = sight->view.store.leader->holder;
  told.epoch = sight->view.store.leader ? sight->view.store.leader->epoch : sight->view.store.epoch.epoch;
  told.summary = why.summary;
  for (const ha::Candidacy& one : why.candidates) {
    api::Explanation::Member member;
    member.name = one.node;
    member.may_lead = one.may_lead;
    member.reason = one.reason;
    member.cost = one.cost;
    member.behind = one.behind;
    const auto said = news.nodes.find(one.node);
    if (one.node == config_.name) {
      member.state = sight->state;
      member.sentence = sight->sentence;
      member.age = 0;
    } else if (said != news.nodes.end()) {
      member.state = said->second.said.state;
      member.sentence = said->second.said.sentence;
      member.age = std::chrono::duration<double>(now - said->second.seen).count();
    }
    told.members.push_back(std::move(member));
  }
  return told;
}

}  // namespace pgb::agent
