#include "agent/peers.h"

#include "api/agent_api.h"

namespace pgb::agent {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr milliseconds kEvery{250};
constexpr milliseconds kPatience{700};

}  // namespace

Peers::~Peers() { follow({}); }

void Peers::follow(const std::vector<Member>& members) {
  std::map<std::string, Member> wanted;
  for (const Member& member : members) {
    if (member.name != name_) wanted[member.name] = member;
  }
  for (auto it = peers_.begin(); it != peers_.end();) {
    const auto same = wanted.find(it->first);
    const bool stays = same != wanted.end() && same->second == it->second->member;
    if (!stays) end(*it->second);
    it = stays ? std::next(it) : peers_.erase(it);
  }
  for (const auto& [name, member] : wanted) {
    std::unique_ptr<Peer>& peer = peers_[name];
    if (peer) continue;
    peer = std::make_unique<Peer>();
    peer->member = member;
    peer->thread = std::thread([this, raw = peer.get()] { ask(*raw); });
  }
}

void Peers::end(Peer& peer) {
  {
    const std::lock_guard lock(mutex_);
    peer.ends = true;
  }
  ended_.notify_all();
  peer.thread.join();
  const std::lock_guard lock(mutex_);
  evidence_.erase(peer.member.name);
}

std::map<std::string, ha::Evidence> Peers::evidence() const {
  const std::lock_guard lock(mutex_);
  return evidence_;
}

void Peers::ask(Peer& peer) {
  const api::AgentAddress address{peer.member.agent_host, peer.member.agent_port, token_};
  while (!peer.ends) {
    ha::Evidence said;
    said.asked = Clock::now();
    const auto answer = api::ask_member(address, {name_, failsafe_}, Deadline::after(kPatience));
    using Contact = ha::Evidence::Contact;
    if (answer.ok()) {
      said.contact = Contact::kAnswers;
      said.epoch = answer->epoch;
      said.store_reachable = answer->store_reachable;
    } else {
      said.contact = answer.error().code == Code::kUnreachable && api::says_refused(answer.error()) ? Contact::kRefused
                                                                                                    : Contact::kSilent;
    }
    std::unique_lock lock(mutex_);
    ha::Evidence& before = evidence_[peer.member.name];
    const bool news =
        before.contact != said.contact || before.epoch != said.epoch || before.store_reachable != said.store_reachable;
    before = said;
    lock.unlock();
    if (news) on_change_();
    lock.lock();
    ended_.wait_for(lock, kEvery, [&] { return peer.ends.load(); });
  }
}

}  // namespace pgb::agent
