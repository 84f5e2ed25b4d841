// The other agents of the group, each asked over and over on a thread of its own, and at once when it is gone.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/agent_config.h"
#include "agent/wake.h"
#include "ha/view.h"
#include "http/client.h"

namespace pgb::agent {

class Peers {
 public:
  // `on_change`: on our threads, when a peer's contact or epoch is another than before.
  Peers(const AgentConfig& config, std::function<void()> on_change)
      : name_(config.name), token_(config.token), on_change_(std::move(on_change)) {
    follow(config.members);
  }
  ~Peers();

  // From now on these are asked, and no others. Does not wait for questions that are under way.
  void follow(const std::vector<Member>& members);

  // While this is above 0 the question is the failsafe's, too: may the leader of this epoch go on without the store?
  void set_failsafe(ha::Epoch epoch);

  std::map<std::string, ha::Evidence> evidence() const;

 private:
  struct Peer {
    explicit Peer(const Member& whom);
    const Member member;
    http::KeptConnection line;  // its thread's alone
    std::atomic<bool> ends{false}, over{false};
    Wake wake;
    std::thread thread;
  };
  void ask(Peer& peer);
  std::optional<ha::Evidence::Contact> ask_once(Peer& peer, bool let_go);
  void note(const Peer& peer, const ha::Evidence& said);
  void end(std::unique_ptr<Peer> peer);
  void bury(bool all);

  const std::string name_;
  const Secret token_;
  std::function<void()> on_change_;
  std::atomic<ha::Epoch> failsafe_{0};
  mutable std::mutex mutex_;
  std::map<std::string, ha::Evidence> evidence_;
  std::map<std::string, std::unique_ptr<Peer>> peers_;
  std::vector<std::unique_ptr<Peer>> leaving_;  // each may be waiting for its last answer
};

}  // namespace pgb::agent
