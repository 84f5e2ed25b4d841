// Tells who the leader of a group is, and that it is about to hand over, as the lease store in this process knows it,
// as soon as it knows.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/canceller.h"
#include "dcs/local_store.h"
#include "proxy/health.h"

namespace pgb::control {

// A leader key's value: {"holder": "node", "epoch": 7}. Nothing for what is none.
std::optional<proxy::Leader> parse_leader(std::string_view text);

// Who is about to hand over and waits to hear that nothing is under way: {"node": "node"}; empty: nobody waits.
std::string parse_handover(std::string_view text);

class LeaderWatch {
 public:
  using OnLeader = std::function<void(std::optional<proxy::Leader>)>;
  // That node is to get no new work: returns whether nothing is under way there any more. Empty: no node leaves.
  using OnHandover = std::function<bool(const std::string& node)>;

  // Begins to watch the leader key of that group, of whatever cluster: a store serves one. The two are called on a
  // thread of its own, `on_leader` for the first time at once. The store must outlive the watch.
  LeaderWatch(dcs::LocalStore& store, std::string group, OnLeader on_leader, OnHandover on_handover);
  ~LeaderWatch();
  LeaderWatch(const LeaderWatch&) = delete;
  LeaderWatch& operator=(const LeaderWatch&) = delete;

 private:
  void run();
  void take(const dcs::Event& event);
  void take_handover(const dcs::KeyValue& kv);
  void leave_nobody();
  bool is_of_group(const std::string& key, const std::string& suffix) const;
  dcs::Revision tell_now();

  dcs::LocalStore& store_;
  const std::string leader_, handover_;  // how the keys end
  const OnLeader on_leader_;
  const OnHandover on_handover_;
  std::string leaving_;           // the watch's thread alone, like the next one
  dcs::Revision gave_up_on_ = 0;  // of a handover that took too long
  Canceller canceller_;
  std::thread thread_;
};

}  // namespace pgb::control
