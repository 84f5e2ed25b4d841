#include "dcs/core.h"

#include <algorithm>

namespace pgb::dcs {
namespace {

bool begins_with(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

bool covers(const Range& range, const std::string& key) {
  return range.prefix ? begins_with(key, range.key) : key == range.key;
}

template <class T>
bool related(const T& left, Compare::Relation relation, const T& right) {
  switch (relation) {
    case Compare::Relation::kEqual: return left == right;
    case Compare::Relation::kNotEqual: return left != right;
    case Compare::Relation::kLess: return left < right;
    case Compare::Relation::kGreater: return left > right;
  }
  return false;
}

constexpr size_t kOverhead = 100;  // of each key, in memory and in the log

size_t size_of(const KeyValue& kv) { return kv.key.size() + kv.value.size() + kOverhead; }

}  // namespace

Error no_such_lease(LeaseId id) {
  return Error(Code::kNotFound, "lease " + std::to_string(id) + " is unknown: it has run out or was revoked")
      .with("try", "a new lease");
}

const KeyValue* Core::find(const std::string& key) const {
  const auto found = keys_.find(key);
  return found == keys_.end() ? nullptr : &found->second;
}

std::vector<KeyValue> Core::select(const Range& range, const Overlay& overlay) const {
  std::map<std::string, KeyValue> chosen;
  for (auto it = keys_.lower_bound(range.key); it != keys_.end() && covers(range, it->first); ++it) chosen.insert(*it);
  for (auto it = overlay.lower_bound(range.key); it != overlay.end() && covers(range, it->first); ++it) {
    if (it->second.kind == Event::Kind::kPut) {
      chosen[it->first] = it->second.kv;
    } else {
      chosen.erase(it->first);
    }
  }
  std::vector<KeyValue> kvs;
  for (auto& [key, kv] : chosen) kvs.push_back(std::move(kv));
  return kvs;
}

bool Core::holds(const Compare& compare) const {
  const KeyValue* kv = find(compare.key);
  if (compare.field == Compare::Field::kValue) {
    return kv != nullptr && related(kv->value, compare.relation, compare.value);
  }
  static const KeyValue kAbsent;
  const KeyValue& there = kv != nullptr ? *kv : kAbsent;
  int64_t number = there.mod_revision;
  if (compare.field == Compare::Field::kCreateRevision) number = there.create_revision;
  if (compare.field == Compare::Field::kVersion) number = there.version;
  if (compare.field == Compare::Field::kLease) number = there.lease;
  return related(number, compare.relation, compare.number);
}

Status Core::check(const std::vector<Op>& ops) const {
  size_t bytes = 0;
  for (size_t i = 0; i < ops.size(); ++i) {
    const Op& op = ops[i];
    if (op.range.key.empty() && !op.range.prefix) return Error(Code::kProtocol, "a key is missing");
    if (op.kind != Op::Kind::kPut) continue;
    bytes += op.range.key.size() + op.value.size() + kOverhead;
    for (size_t other = 0; other < ops.size(); ++other) {
      if (other == i || ops[other].kind == Op::Kind::kGet || !covers(ops[other].range, op.range.key)) continue;
      return Error(Code::kProtocol, "one transaction changes key " + op.range.key + " twice");
    }
  }
  if (ops.size() > limits_.request_ops) return Error(Code::kProtocol, "too many operations in one transaction");
  if (bytes > limits_.request_bytes) return Error(Code::kProtocol, "the request is too large");
  if (bytes > 0 && data_bytes_ + bytes > limits_.data_bytes) {
    return Error(Code::kDiskFull, "the lease store holds as much as it may")
        .with("try", "remove keys it need not hold");
  }
  return Status();
}

OpResult Core::plan_op(const Op& op, Overlay& overlay) const {
  OpResult result;
  if (op.kind == Op::Kind::kPut) {
    KeyValue kv{op.range.key, op.value, revision_ + 1, revision_ + 1, 1, op.lease};
    if (const KeyValue* old = find(kv.key)) {
      kv.create_revision = old->create_revision;
      kv.version = old->version + 1;
    }
    overlay[kv.key] = {Event::Kind::kPut, kv};
    return result;
  }
  result.kvs = select(op.range, overlay);
  if (op.kind == Op::Kind::kGet) return result;
  for (const KeyValue& kv : result.kvs) {
    overlay[kv.key] = {Event::Kind::kDelete, {kv.key, {}, 0, revision_ + 1, 0, 0}};
  }
  result.deleted = static_cast<int64_t>(result.kvs.size());
  result.kvs.clear();
  return result;
}

Result<Core::Plan> Core::plan(const Txn& txn) const {
  PGB_TRY(check(txn.then));
  PGB_TRY(check(txn.otherwise));
  if (txn.when.size() > limits_.request_ops) return Error(Code::kProtocol, "too many comparisons in one transaction");
  Plan plan;
  plan.result.succeeded = std::all_of(txn.when.begin(), txn.when.end(), [this](const Compare& c) { return holds(c); });
  Overlay overlay;
  for (const Op& op : plan.result.succeeded ? txn.then : txn.otherwise) {
    if (op.lease != 0 && leases_.count(op.lease) == 0) return no_such_lease(op.lease);
    plan.result.results.push_back(plan_op(op, overlay));
  }
  for (auto& [key, event] : overlay) plan.change.events.push_back(std::move(event));
  plan.change.last_lease = last_lease_;
  plan.change.revision = plan.result.revision = revision_ + (plan.changes() ? 1 : 0);
  return plan;
}

Result<Change> Core::plan_grant(std::chrono::seconds ttl) const {
  if (ttl < std::chrono::seconds(1) || ttl > kMostTtl)
    return Error(Code::kProtocol, "a lease lasts 1 to 9000000 seconds");
  if (leases_.size() >= limits_.leases) return Error(Code::kDiskFull, "the lease store has too many leases");
  Change change;
  change.revision = revision_;
  change.last_lease = last_lease_ + 1;
  change.granted.push_back({change.last_lease, ttl});
  return change;
}

Result<Change> Core::plan_revoke(LeaseId id) const {
  if (leases_.count(id) == 0) return no_such_lease(id);
  return removal({id});
}

Change Core::plan_expiry(Time now) const {
  std::vector<LeaseId> over;
  for (const auto& [id, lease] : leases_) {
    if (lease.expires <= now) over.push_back(id);
  }
  return removal(over);
}

Change Core::removal(const std::vector<LeaseId>& leases) const {
  Change change;
  change.last_lease = last_lease_;
  change.ended = leases;
  for (const LeaseId id : leases) {
    for (const std::string& key : leases_.at(id).keys) {
      change.events.push_back({Event::Kind::kDelete, {key, {}, 0, revision_ + 1, 0, 0}});
    }
  }
  change.revision = revision_ + (change.events.empty() ? 0 : 1);
  return change;
}

void Core::apply_event(const Event& event) {
  const std::string& key = event.kv.key;
  if (const auto old = keys_.find(key); old != keys_.end()) {
    data_bytes_ -= size_of(old->second);
    if (const auto lease = leases_.find(old->second.lease); lease != leases_.end()) lease->second.keys.erase(key);
    keys_.erase(old);
  }
  if (event.kind == Event::Kind::kDelete) return;
  keys_[key] = event.kv;
  data_bytes_ += size_of(event.kv);
  if (const auto lease = leases_.find(event.kv.lease); lease != leases_.end()) lease->second.keys.insert(key);
}

void Core::apply(const Change& change, Time now) {
  if (change.restart) {
    const Limits limits = limits_;
    *this = Core(limits);
    compacted_ = change.revision;
  }
  for (const Lease& lease : change.granted) leases_[lease.id] = {lease.ttl, now + lease.ttl, {}};
  for (const Event& event : change.events) apply_event(event);
  for (const LeaseId id : change.ended) leases_.erase(id);
  revision_ = change.revision;
  last_lease_ = std::max(last_lease_, change.last_lease);
  if (!change.restart && !change.events.empty()) remember(change);
}

void Core::remember(const Change& change) {
  history_.push_back({change.revision, change.events});
  history_events_ += change.events.size();
  for (const Event& event : change.events) history_bytes_ += size_of(event.kv);
  while (history_events_ > limits_.history_events || history_bytes_ > limits_.history_bytes) {
    const Changes& oldest = history_.front();
    compacted_ = oldest.revision;
    history_events_ -= oldest.events.size();
    for (const Event& event : oldest.events) history_bytes_ -= size_of(event.kv);
    history_.pop_front();
  }
}

Result<std::chrono::seconds> Core::renew(LeaseId id, Time now) {
  const auto lease = leases_.find(id);
  if (lease == leases_.end() || lease->second.expires <= now) return no_such_lease(id);
  lease->second.expires = now + lease->second.ttl;
  return lease->second.ttl;
}

Result<LeaseInfo> Core::lease(LeaseId id, Time now) const {
  const auto lease = leases_.find(id);
  if (lease == leases_.end() || lease->second.expires <= now) return no_such_lease(id);
  LeaseInfo info;
  info.granted = lease->second.ttl;
  info.remaining = std::chrono::floor<std::chrono::seconds>(lease->second.expires - now);
  info.keys.assign(lease->second.keys.begin(), lease->second.keys.end());
  return info;
}

void Core::renew_all(Time now) {
  for (auto& [id, lease] : leases_) lease.expires = now + lease.ttl;
}

Core::Time Core::next_expiry() const {
  Time first = Time::max();
  for (const auto& [id, lease] : leases_) first = std::min(first, lease.expires);
  return first;
}

Result<Changes> Core::changes(const std::string& prefix, Revision from) const {
  if (from <= compacted_) {
    return Error(Code::kCompacted, "changes up to revision " + std::to_string(compacted_) +
                                       " are no longer kept, and " + std::to_string(from) + " was asked for")
        .with("try", "read the keys, then watch from the revision after");
  }
  Changes result;
  result.revision = std::max(revision_, from - 1);
  const auto older = [](const Changes& changes, Revision revision) { return changes.revision < revision; };
  for (auto it = std::lower_bound(history_.begin(), history_.end(), from, older); it != history_.end(); ++it) {
    for (const Event& event : it->events) {
      if (begins_with(event.kv.key, prefix)) result.events.push_back(event);
    }
  }
  return result;
}

Change Core::whole() const {
  Change change;
  change.restart = true;
  change.revision = revision_;
  change.last_lease = last_lease_;
  for (const auto& [id, lease] : leases_) change.granted.push_back({id, lease.ttl});
  for (const auto& [key, kv] : keys_) change.events.push_back({Event::Kind::kPut, kv});
  return change;
}

}  // namespace pgb::dcs
