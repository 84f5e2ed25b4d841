#include "agent/peers.h"

#include "agent/tether.h"
#include "api/agent_api.h"

namespace pgb::agent {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr milliseconds kEvery{250};
constexpr milliseconds kPatience{700};
constexpr milliseconds kShortPatience{250};  // with one that has let go of its connection
constexpr milliseconds kGone{3000};          // for so long that proves something

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
  peer.ends = true;
  peer.wake.ring();
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
  Tether tether(address.host, address.port);
  while (!peer.ends) {
    ha::Evidence said;
    said.asked = Clock::now();
    const auto patience = tether.let_go() ? kShortPatience : kPatience;
    const auto answer = api::ask_member(address, {name_, failsafe_}, Deadline::after(patience));
    using Contact = ha::Evidence::Contact;
    if (answer.ok()) {
      said.contact = Contact::kAnswers;
      said.epoch = answer->epoch;
      said.store_reachable = answer->store_reachable;
      tether.renew();
    } else {
      const bool refused = answer.error().code == Code::kUnreachable && api::says_refused(answer.error());
      const auto let_go = tether.let_go();
      const bool gone = let_go && Clock::now() - *let_go < kGone;
      said.contact = refused || gone ? Contact::kRefused : Contact::kSilent;
    }
    tell(peer.member.name, said);
    tether.wait(kEvery, peer.wake);
  }
}

void Peers::tell(const std::string& peer, const ha::Evidence& said) {
  std::unique_lock lock(mutex_);
  ha::Evidence& before = evidence_[peer];
  const bool news =
      before.contact != said.contact || before.epoch != said.epoch || before.store_reachable != said.store_reachable;
  before = said;
  lock.unlock();
  if (news) on_change_();
}

}  // namespace pgb::agent
