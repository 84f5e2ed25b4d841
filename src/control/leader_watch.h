// Tells who the leader of a group is, as the lease store in this process knows it, as soon as it knows.
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

class LeaderWatch {
 public:
  using OnLeader = std::function<void(std::optional<proxy::Leader>)>;

  // Begins to watch the leader key of that group, of whatever cluster: a store serves one. `on_leader` is called on a
  // thread of its own, for the first time at once. The store must outlive the watch.
  LeaderWatch(dcs::LocalStore& store, std::string group, OnLeader on_leader);
  ~LeaderWatch();
  LeaderWatch(const LeaderWatch&) = delete;
  LeaderWatch& operator=(const LeaderWatch&) = delete;

 private:
  void run();
  bool is_leader_key(const std::string& key) const;
  dcs::Revision tell_now();

  dcs::LocalStore& store_;
  const std::string suffix_;
  const OnLeader on_leader_;
  Canceller canceller_;
  std::thread thread_;
};

}  // namespace pgb::control
