// The names of a group's keys in the lease store, in one place. Neither name may hold a slash (those of a cluster
// file cannot).
#pragma once

#include <cstdint>
#include <string>

namespace pgb::dcs {

class Keys {
 public:
  Keys(const std::string& cluster, const std::string& group) : root_("/pgbalancer/" + cluster + "/" + group + "/") {}

  const std::string& root() const { return root_; }  // all keys of the group begin with it

  // Who is the leader, and under which epoch: bound to the leader's lease, made only if absent.
  std::string leader() const { return root_ + "leader"; }
  // The highest epoch ever used: outlives the leader.
  std::string epoch() const { return root_ + "epoch"; }
  // What a node says of itself.
  std::string members() const { return root_ + "members/"; }
  std::string member(const std::string& node) const { return members() + node; }
  // Who must have a commit before it is acknowledged; written before the server's setting is relaxed.
  std::string sync() const { return root_ + "sync"; }
  // In whose favour the last leader let the role go; of the moment until somebody takes it.
  std::string transfer() const { return root_ + "transfer"; }
  // The leader is about to stop its server for a switchover: {"node": "a"}, bound to its lease. A balancer that gives
  // it no new work any more, and sees that nothing is under way, puts {"node": "a", "quiet": true} in its place.
  std::string handover() const { return root_ + "handover"; }
  // A switchover or failover that somebody asked for.
  std::string failover() const { return root_ + "failover"; }
  // What changed, and why: history/<epoch, ten digits>-<milliseconds of the clock>-<node>, so that they sort by age.
  std::string history() const { return root_ + "history/"; }
  std::string history_entry(int64_t epoch) const {
    std::string digits = std::to_string(epoch);
    if (digits.size() < 10) digits.insert(0, 10 - digits.size(), '0');
    return history() + digits;
  }
  // Present: nobody changes roles by himself.
  std::string paused() const { return root_ + "paused"; }

 private:
  std::string root_;
};

}  // namespace pgb::dcs
