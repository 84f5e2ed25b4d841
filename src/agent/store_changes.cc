// The transactions that ha/decide.h asks for.
#include <poll.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "agent/store_link.h"
#include "base/log.h"
#include "ha/decision.h"

namespace pgb::agent {

using dcs::Compare;
using dcs::Op;
using nlohmann::json;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr milliseconds kCall{600};

Compare at_revision(const std::string& key, uint64_t revision) {
  return {key, Compare::Field::kModRevision, Compare::Relation::kEqual, static_cast<int64_t>(revision), {}};
}

uint64_t revision_of(const std::optional<ha::LeaderKey>& key) { return key ? key->revision : 0; }
uint64_t revision_of(const std::optional<ha::SyncRecord>& record) { return record ? record->revision : 0; }

bool done(const Result<dcs::TxnResult>& answer, const char* what) {
  if (!answer.ok()) log::warn(std::string(what) + ": " + answer.error().message);
  return answer.ok() && answer->succeeded;
}

// Who asked for quiet, with the answer or without.
std::string asked_by(const dcs::KeyValue& kv) {
  const json doc = json::parse(kv.value, nullptr, false);
  const auto node = doc.is_object() ? doc.find("node") : doc.end();
  return doc.is_object() && node != doc.end() && node->is_string() ? node->get<std::string>() : "";
}

}  // namespace

dcs::Op StoreLink::history_op(ha::Epoch epoch, const std::string& action, const std::string& sentence,
                              const std::string& request, ha::Timeline timeline) const {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  const auto millis = std::chrono::duration_cast<milliseconds>(since).count();
  const std::string key =
      keys_.history_entry(static_cast<int64_t>(epoch)) + "-" + std::to_string(millis) + "-" + config_.name;
  return Op::put(key, history_json(config_.name, action, epoch, sentence, request, timeline));
}

bool StoreLink::acquire(const ha::ClusterView& seen, const ha::Decision& decision,
                        const std::function<void(uint64_t, ha::Time)>& on_lease) {
  const ha::Time asked = Clock::now();
  const auto ttl = std::chrono::ceil<std::chrono::seconds>(seen.settings.lease);
  auto lease = dcs_->grant(ttl, Deadline::after(kCall));
  if (!lease.ok()) {
    log::warn("no lease: " + lease.error().message);
    return false;
  }
  on_lease(static_cast<uint64_t>(lease->id), asked);
  const ha::StoreView& store = seen.store;
  dcs::Txn txn;
  txn.when = {at_revision(keys_.leader(), revision_of(store.leader)), at_revision(keys_.epoch(), store.epoch.revision),
              at_revision(keys_.sync(), revision_of(store.sync))};
  // In a pause a leader that is cut off does not stop: who decided before it began may not elect in it.
  if (!store.paused) txn.when.push_back(Compare::absent(keys_.paused()));
  // Whoever asked for that may have given up meanwhile, and the request's time may be over.
  if (decision.lossy) txn.when.push_back(at_revision(keys_.failover(), store.request ? store.request->id : 0));
  txn.then.push_back(Op::put(keys_.leader(), to_json(ha::LeaderKey{config_.name, decision.epoch, 0, 0}), lease->id));
  const ha::Timeline timeline = std::max(store.epoch.timeline, decision.timeline);
  const ha::EpochRecord epoch{decision.epoch, config_.name, timeline, 0, seen.self.system_id};
  txn.then.push_back(Op::put(keys_.epoch(), to_json(epoch)));
  txn.then.push_back(Op::remove({keys_.transfer(), false}));
  if (decision.record) txn.then.push_back(Op::put(keys_.sync(), to_json(*decision.record)));
  const bool promotes = seen.self.server != ha::Server::kPrimary;  // else it goes on where it is
  txn.then.push_back(history_op(decision.epoch, decision.lossy ? "forced" : "acquire", decision.sentence, "",
                                promotes ? timeline : 0));
  return done(dcs_->txn(txn, Deadline::after(kCall)), "taking the leader key");
}

bool StoreLink::record(const ha::ClusterView& seen, const ha::Decision& decision) {
  if (!seen.store.leader || !decision.record) return false;
  const ha::LeaderKey& key = *seen.store.leader;
  dcs::Txn txn;
  txn.when = {at_revision(keys_.leader(), key.revision), at_revision(keys_.sync(), revision_of(seen.store.sync))};
  txn.then = {Op::put(keys_.sync(), to_json(*decision.record)), history_op(key.epoch, "record", decision.sentence)};
  const auto answer = dcs_->txn(txn, Deadline::after(kCall));
  done(answer, "recording the sync set");
  return answer.ok() || dcs::outcome_of(answer.error()) == dcs::Outcome::kUnknown;
}

bool StoreLink::release(const ha::ClusterView& seen, const ha::Decision& decision, const Publication& publication) {
  const ha::StoreView& store = seen.store;
  if (!store.leader) return false;
  const bool asked_for = store.request && store.request->kind == ha::Request::Kind::kSwitchover;
  dcs::Txn txn;
  txn.when = {{keys_.leader(),
               Compare::Field::kLease,
               Compare::Relation::kEqual,
               static_cast<int64_t>(store.leader->lease),
               {}}};
  // After a crash nobody knows who has most: then the best may take the role without waiting for the one that is named.
  const std::string to = seen.self.flushed ? decision.node : "";
  txn.then = {Op::remove({keys_.leader(), false}), Op::remove({keys_.handover(), false}), Op::put(keys_.transfer(), to),
              Op::put(keys_.member(config_.name), to_json(publication)),
              history_op(store.leader->epoch, "release", decision.sentence, asked_for ? "switchover" : "")};
  if (asked_for) {
    ha::Request request = *store.request;
    if (!decision.node.empty()) request.node = decision.node;
    const auto left = std::chrono::duration_cast<ha::Duration>(request.deadline - Clock::now());
    // Whoever leads next without having been named has not been asked to hand over again.
    const bool stands = !request.node.empty() && request.node != config_.name;
    txn.then.push_back(stands ? Op::put(keys_.failover(), to_json(request, std::max(left, ha::Duration(1000))))
                              : Op::remove({keys_.failover(), false}));
  }
  if (!done(dcs_->txn(txn, Deadline::after(kCall)), "releasing the leader key")) return false;
  const std::lock_guard lock(mutex_);
  quiet_asked_ = quiet_over_ = false;  // it went along
  return true;
}

bool StoreLink::ask_for_quiet(uint64_t lease, Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    quiet_asked_ = true;
    quiet_over_ = false;
  }
  const std::string asked = json{{"node", config_.name}}.dump();
  const auto put = dcs_->put(keys_.handover(), asked, static_cast<dcs::LeaseId>(lease), Deadline::after(kCall));
  while (put.ok() && !deadline.expired()) {
    const auto now = dcs_->range({keys_.handover(), false}, Deadline::after(kCall));
    if (now.ok() && (now->kvs.empty() || now->kvs[0].value != asked)) return !now->kvs.empty();
    poll(nullptr, 0, 5);
  }
  return false;
}

void StoreLink::end_quiet() {
  const std::lock_guard lock(mutex_);
  quiet_over_ = quiet_asked_;
  changed_.notify_all();
}

// By the thread that keeps the news fresh. True also if there is nothing to take back: by the time that the store is
// heard of again, another one may lead, and ask for itself.
bool StoreLink::take_quiet_back() {
  {
    const std::lock_guard lock(mutex_);
    if (!quiet_over_) return true;
  }
  const auto now = dcs_->range({keys_.handover(), false}, Deadline::after(kCall));
  if (!now.ok()) return false;
  if (!now->kvs.empty() && asked_by(now->kvs[0]) == config_.name) {
    dcs::Txn txn;
    txn.when = {Compare::unchanged(now->kvs[0])};
    txn.then = {Op::remove({keys_.handover(), false})};
    const auto taken = dcs_->txn(txn, Deadline::after(kCall));
    if (!taken.ok() || !taken->succeeded) return false;
  }
  const std::lock_guard lock(mutex_);
  if (quiet_over_) quiet_asked_ = quiet_over_ = false;
  return true;
}

bool StoreLink::clear_request(uint64_t id, const std::string& sentence) {
  const StoreNews now = news();
  dcs::Txn txn;
  txn.when = {at_revision(keys_.failover(), id)};
  txn.then = {Op::remove({keys_.failover(), false}), history_op(now.view.epoch.epoch, "request", sentence)};
  const auto& request = now.view.request;
  const bool resumes = request && request->id == id && request->kind == ha::Request::Kind::kResume;
  if (resumes) txn.then.push_back(Op::remove({keys_.paused(), false}));
  return done(dcs_->txn(txn, Deadline::after(kCall)), "clearing the request");
}

void StoreLink::trim_history() {
  constexpr size_t kKept = 500;
  auto all = dcs_->range({keys_.history(), true}, Deadline::after(kCall));
  if (!all.ok() || all->kvs.size() <= kKept) return;
  dcs::Txn txn;
  for (size_t i = 0; i + kKept < all->kvs.size() && i < 100; ++i)
    txn.then.push_back(Op::remove({all->kvs[i].key, false}));
  (void)dcs_->txn(txn, Deadline::after(kCall));
}

void StoreLink::tell(ha::Epoch epoch, const std::string& action, const std::string& sentence) {
  const Op line = history_op(epoch, action, sentence);
  (void)dcs_->put(line.range.key, line.value, 0, Deadline::after(kCall));
}

}  // namespace pgb::agent
