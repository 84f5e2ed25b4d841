// The roles of the group's servers where agents choose them: what the lease store that this process keeps says of them,
// and what can be asked of the agents there. Where there is no such store, everything answers that.
#pragma once

#include <atomic>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "dcs/role_change.h"

namespace pgb::control {

class GroupRoles {
 public:
  struct Member {
    std::string name, state, sentence;   // as its agent published last
    std::optional<std::string> follows;  // whom it streams from
    bool streaming = false;              // just now
    uint64_t timeline = 0;
  };
  struct Now {
    std::string cluster;
    std::string leader;  // empty: nobody leads
    uint64_t epoch = 0;
    std::string durability;                 // "async", "quorum", "strict"
    std::vector<std::string> sync_members;  // of whom `sync_required` have each acknowledged commit
    uint64_t sync_required = 0;
    bool paused = false;
    std::optional<std::string> request;  // that stands: "switchover to node2"
    std::vector<Member> members;         // whose agents have their say, sorted by name
  };

  explicit GroupRoles(std::string group) : group_(std::move(group)) {}

  // From now on with that store; null: there is none any more. Waits for calls under way, which end soon.
  void use(dcs::Dcs* store);
  bool has_store() const;

  // All: kNotReady if agents do not choose the primary here, or none of them has come yet; else what the store says.
  Result<Now> now() const;
  Result<std::vector<dcs::HistoryLine>> history() const;  // oldest first
  // Returns when the new primary takes writes; for errors see dcs::wait_for_change().
  Result<dcs::RoleChange> switchover(const std::string& node);
  // Asks that a replica be made anew as a full copy; does not wait for it.
  Status reinit(const std::string& node);

 private:
  // What is done while the store stays.
  template <class Work>
  auto with_store(Work work) const -> decltype(work(std::declval<dcs::Dcs&>(), std::declval<const dcs::Keys&>()));

  const std::string group_;
  mutable std::shared_mutex mutex_;
  dcs::Dcs* store_ = nullptr;  // guarded by mutex_
  std::atomic<bool> leaving_{false};
};

}  // namespace pgb::control
