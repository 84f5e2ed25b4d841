#include "agent/peers.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "api/agent_api.h"
#include "net/socket.h"

namespace pgb::agent {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Contact = ha::Evidence::Contact;

namespace {

constexpr milliseconds kEvery{250};
constexpr milliseconds kEveryWithLine{1000};  // while a line tells of its end
constexpr milliseconds kAgain{15};            // after the line broke, until it is clear what that means
constexpr int kMostAgain = 8;
constexpr milliseconds kPatience{700};
constexpr milliseconds kPatienceWithGone{250};  // with one that let go of the line
constexpr milliseconds kGone{3000};             // for so long that says something
constexpr milliseconds kQuiet{9500};            // after which the other side ends a line on which nothing comes

// A connection that nothing is said on: the kernel ends it as soon as the agent at its other end is gone. (Or its
// server, after a while, because nothing is said.) Not valid if it cannot be had.
os::UniqueFd open_line(const Member& member) {
  const auto address = net::Address::parse(member.agent_host, member.agent_port);
  if (!address.ok()) return {};
  auto socket = net::start_connect(*address);
  if (!socket.ok()) return {};
  pollfd decided{socket->get(), POLLOUT, 0};
  const bool connected =
      poll(&decided, 1, static_cast<int>(kPatience.count())) == 1 && net::connect_result(socket->get(), *address).ok();
  return connected ? std::move(*socket) : os::UniqueFd();
}

bool has_ended(const os::UniqueFd& line) {
  pollfd state{line.get(), POLLIN | POLLRDHUP, 0};
  return line && poll(&state, 1, 0) > 0;
}

// By the other side's kernel, not because nothing gets through.
bool let_go_of(const os::UniqueFd& line) {
  char byte = 0;
  const ssize_t got = ::recv(line.get(), &byte, 1, MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno == ECONNRESET);
}

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

void Peers::set_failsafe(ha::Epoch epoch) {
  if (failsafe_.exchange(epoch) == epoch) return;
  for (const auto& [name, peer] : peers_) peer->wake.ring();
}

Contact Peers::ask_once(const Peer& peer, bool let_go) {
  ha::Evidence said;
  said.asked = Clock::now();
  const api::AgentAddress address{peer.member.agent_host, peer.member.agent_port, token_};
  const auto answer =
      api::ask_member(address, {name_, failsafe_}, Deadline::after(let_go ? kPatienceWithGone : kPatience));
  if (answer.ok()) {
    said.contact = Contact::kAnswers;
    said.epoch = answer->epoch;
    said.store_reachable = answer->store_reachable;
  } else {
    const Code code = answer.error().code;
    const bool refused = code == Code::kUnreachable && api::says_refused(answer.error());
    const bool gone = let_go && (code == Code::kUnreachable || code == Code::kTimeout);  // all else is an answer
    said.contact = refused || gone ? Contact::kRefused : Contact::kSilent;
  }
  bool news = false;
  {
    const std::lock_guard lock(mutex_);
    ha::Evidence& before = evidence_[peer.member.name];
    news =
        before.contact != said.contact || before.epoch != said.epoch || before.store_reachable != said.store_reachable;
    before = said;
  }
  if (news) on_change_();
  return said.contact;
}

void Peers::ask(Peer& peer) {
  os::UniqueFd line;
  ha::Time opened{}, let_go{};
  int again = 0;  // a process that ends closes its line before its port, or the other way round
  while (!peer.ends) {
    // A container takes its address along: who let go and then says nothing is gone, too.
    const Contact contact = ask_once(peer, Clock::now() - let_go < kGone);
    if (contact != Contact::kAnswers && !has_ended(line)) line.reset();
    if (contact == Contact::kAnswers && !line) line = open_line(peer.member), opened = Clock::now(), let_go = {};
    const bool unclear = contact == Contact::kSilent && again-- > 0;
    const bool usual = line && failsafe_ == 0;
    pollfd ready[] = {{peer.wake.fd(), POLLIN, 0}, {line ? line.get() : -1, POLLIN | POLLRDHUP, 0}};
    poll(ready, 2, static_cast<int>((unclear ? kAgain : usual ? kEveryWithLine : kEvery).count()));
    peer.wake.clear();
    if (ready[1].revents == 0) continue;
    if (let_go_of(line) && Clock::now() - opened < kQuiet) let_go = Clock::now();
    line.reset();
    again = kMostAgain;
  }
}

}  // namespace pgb::agent
