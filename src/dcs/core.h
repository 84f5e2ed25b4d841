// Inside dcs only: the state of a local store. Pure: no I/O, no clock, no locks. What changes it is first planned,
// then written down by somebody else, then applied, so that nothing is true before it is durable.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "dcs/change.h"
#include "dcs/dcs.h"

namespace pgb::dcs {

class Core {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Limits {
    size_t data_bytes = 16u << 20;  // keys and values
    size_t request_bytes = 1u << 20;
    size_t request_ops = 128;
    size_t leases = 10000;
    size_t history_events = 10000;  // kept for watches
    size_t history_bytes = 8u << 20;
  };

  struct Plan {
    TxnResult result;
    Change change;
    bool changes() const { return !change.events.empty(); }
  };

  Core() : Core(Limits()) {}
  explicit Core(Limits limits) : limits_(limits) {}

  Revision revision() const { return revision_; }
  Snapshot range(const Range& range) const { return {revision_, select(range, {})}; }

  // kNotFound (lease), kProtocol (a key twice, none, too much), kDiskFull (the store's limit).
  Result<Plan> plan(const Txn& txn) const;
  Result<Change> plan_grant(std::chrono::seconds ttl) const;
  Result<Change> plan_revoke(LeaseId id) const;
  Change plan_expiry(Time now) const;  // ends every lease that has run out

  void apply(const Change& change, Time now);

  // A lease that has run out is gone, even if plan_expiry was not applied yet.
  Result<std::chrono::seconds> renew(LeaseId id, Time now);
  Result<LeaseInfo> lease(LeaseId id, Time now) const;
  void renew_all(Time now);  // after a restart
  Time next_expiry() const;  // Time::max(): no leases
  bool is_expired(Time now) const { return next_expiry() <= now; }

  // What is known from revision `from` on below the prefix; kCompacted if some of it no longer is.
  Result<Changes> changes(const std::string& prefix, Revision from) const;

  Change whole() const;  // applied to an empty core it makes this one, without its history

 private:
  struct LeaseState {
    std::chrono::seconds ttl{0};
    Time expires;
    std::set<std::string> keys;
  };
  using Overlay = std::map<std::string, Event>;  // what a transaction has changed so far

  std::vector<KeyValue> select(const Range& range, const Overlay& overlay) const;
  const KeyValue* find(const std::string& key) const;
  bool holds(const Compare& compare) const;
  Status check(const std::vector<Op>& ops) const;
  OpResult plan_op(const Op& op, Overlay& overlay) const;
  Change removal(const std::vector<LeaseId>& leases) const;
  void apply_event(const Event& event);
  void remember(const Change& change);

  Limits limits_;
  Revision revision_ = 1;
  Revision compacted_ = 0;  // changes up to here are forgotten
  LeaseId last_lease_ = 0;
  size_t data_bytes_ = 0;
  std::map<std::string, KeyValue> keys_;
  std::map<LeaseId, LeaseState> leases_;
  std::deque<Changes> history_;
  size_t history_events_ = 0;
  size_t history_bytes_ = 0;
};

Error no_such_lease(LeaseId id);

}  // namespace pgb::dcs
