#include "agent/peers.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "api/agent_api.h"

namespace pgb::agent {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Contact = ha::Evidence::Contact;

namespace {

constexpr milliseconds kEvery{250};
constexpr milliseconds kEveryWithLine{2000};  // while a line tells of its end
constexpr milliseconds kAgain{15};            // after the line broke, until it is clear what that means
constexpr int kMostAgain = 8;
constexpr milliseconds kPatience{700};
constexpr milliseconds kPatienceWithGone{250};  // with one that let go of the line
constexpr milliseconds kGone{3000};             // for so long that says something
constexpr milliseconds kQuiet{9500};            // after which the other side ends a line on which nothing comes

// By the other side's kernel, not because nothing gets through.
bool let_go_of(const http::KeptConnection& line) {
  char byte = 0;
  const ssize_t got = ::recv(line.fd(), &byte, 1, MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno == ECONNRESET);
}

}  // namespace

Peers::Peer::Peer(const Member& whom) : member(whom), line(api::endpoint_of(whom.agent_host, whom.agent_port)) {}

Peers::~Peers() {
  follow({});
  bury(true);
}

void Peers::follow(const std::vector<Member>& members) {
  std::map<std::string, Member> wanted;
  for (const Member& member : members) {
    if (member.name != name_) wanted[member.name] = member;
  }
  for (auto it = peers_.begin(); it != peers_.end();) {
    const auto same = wanted.find(it->first);
    const bool stays = same != wanted.end() && same->second == it->second->member;
    if (!stays) end(std::move(it->second));
    it = stays ? std::next(it) : peers_.erase(it);
  }
  bury(false);
  for (const auto& [name, member] : wanted) {
    std::unique_ptr<Peer>& peer = peers_[name];
    if (peer) continue;
    peer = std::make_unique<Peer>(member);
    peer->thread = std::thread([this, raw = peer.get()] { ask(*raw); });
  }
}

// Its thread says nothing any more, but may take a while to end.
void Peers::end(std::unique_ptr<Peer> peer) {
  {
    const std::lock_guard lock(mutex_);
    peer->ends = true;
    evidence_.erase(peer->member.name);
  }
  peer->wake.ring();
  leaving_.push_back(std::move(peer));
}

void Peers::bury(bool all) {
  for (auto it = leaving_.begin(); it != leaving_.end();) {
    const bool goes = all || (*it)->over;
    if (goes) (*it)->thread.join();
    it = goes ? leaving_.erase(it) : std::next(it);
  }
}

std::map<std::string, ha::Evidence> Peers::evidence() const {
  const std::lock_guard lock(mutex_);
  return evidence_;
}

void Peers::set_failsafe(ha::Epoch epoch) {
  if (failsafe_.exchange(epoch) == epoch) return;
  for (const auto& [name, peer] : peers_) peer->wake.ring();
}

// Nothing: the other side ended the line while it was asked.
std::optional<Contact> Peers::ask_once(Peer& peer, bool let_go) {
  ha::Evidence said;
  said.asked = Clock::now();
  said.failsafe = failsafe_;
  const auto answer = api::ask_member(peer.line, token_, {name_, said.failsafe},
                                      Deadline::after(let_go ? kPatienceWithGone : kPatience));
  if (answer.ok()) {
    said.contact = Contact::kAnswers;
    said.epoch = answer->epoch;
    said.store_reachable = answer->store_reachable;
  } else {
    const Code code = answer.error().code;
    if (code == Code::kIo && peer.line.reused()) return std::nullopt;
    const bool refused = code == Code::kUnreachable && api::says_refused(answer.error());
    const bool gone = let_go && (code == Code::kUnreachable || code == Code::kTimeout);  // all else is an answer
    said.contact = refused || gone ? Contact::kRefused : Contact::kSilent;
  }
  note(peer, said);
  return said.contact;
}

void Peers::note(const Peer& peer, const ha::Evidence& said) {
  {
    const std::lock_guard lock(mutex_);
    if (peer.ends) return;
    ha::Evidence& before = evidence_[peer.member.name];
    const bool news = before.contact != said.contact || before.epoch != said.epoch ||
                      before.store_reachable != said.store_reachable || before.failsafe != said.failsafe;
    before = said;
    if (!news) return;
  }
  on_change_();
}

// Between two questions the line stands: the kernel ends it as soon as the agent at its other end is gone. (Or that
// one's server does, when nothing was said for long.)
void Peers::ask(Peer& peer) {
  ha::Time used{}, let_go{};
  int again = 0;  // a process that ends closes its line before its port, or the other way round
  while (!peer.ends) {
    // A container takes its address along: who let go and then says nothing is gone, too.
    const std::optional<Contact> contact = ask_once(peer, Clock::now() - let_go < kGone);
    if (!contact) {
      let_go = Clock::now();
      again = kMostAgain;
      continue;
    }
    if (*contact == Contact::kAnswers) used = Clock::now(), let_go = {};
    const bool unclear = *contact == Contact::kSilent && again-- > 0;
    const bool usual = peer.line.fd() >= 0 && failsafe_ == 0;
    pollfd ready[] = {{peer.wake.fd(), POLLIN, 0}, {peer.line.fd(), POLLIN | POLLRDHUP, 0}};
    poll(ready, 2, static_cast<int>((unclear ? kAgain : usual ? kEveryWithLine : kEvery).count()));
    peer.wake.clear();
    if (ready[1].revents == 0) continue;
    if (let_go_of(peer.line) && Clock::now() - used < kQuiet) let_go = Clock::now();
    peer.line.close();
    again = kMostAgain;
  }
  peer.over = true;
}

}  // namespace pgb::agent
