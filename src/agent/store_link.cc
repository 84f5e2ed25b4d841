#include "agent/store_link.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "dcs/etcd_client.h"

namespace pgb::agent {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr milliseconds kCall{600};       // for a call to the store
constexpr milliseconds kEvery{700};      // between two looks that nothing asked for
constexpr milliseconds kSayAgain{1000};  // an unchanged publication
constexpr milliseconds kPause{150};      // after a failure

// What changes all the time wakes nobody: it goes along with the next one that is due.
std::string steady_mark(const Publication& publication) {
  Publication steady = publication;
  const bool moves = steady.node.server == ha::Server::kPrimary || steady.node.following;
  if (moves) steady.node.flushed.reset();
  steady.node.replayed = 0;
  steady.node.free_disk >>= 28;
  steady.sentence.clear();
  return to_json(steady);
}

// Of the keys that are no node's; 0: it is not there.
std::vector<int64_t> revisions_of(const dcs::TxnResult& answer) {
  std::vector<int64_t> revisions;
  for (size_t i = 0; i + 1 < answer.results.size(); ++i) {
    const auto& kvs = answer.results[i].kvs;
    revisions.push_back(kvs.empty() ? 0 : kvs[0].mod_revision);
  }
  return revisions;
}

}  // namespace

Result<std::unique_ptr<StoreLink>> StoreLink::open(const AgentConfig& config, std::function<void()> on_news) {
  dcs::EtcdSettings settings;
  settings.endpoints = config.store_endpoints;
  settings.user = config.store_user;
  settings.password = config.store_password;
  settings.tls = config.store_tls;
  settings.attempt_limit = kCall;
  auto client = dcs::make_etcd_client(std::move(settings));
  if (!client.ok()) return std::move(client).error();
  std::unique_ptr<StoreLink> link(new StoreLink(config, std::move(on_news)));
  link->dcs_ = std::move(*client);
  link->start();
  return link;
}

void StoreLink::start() {
  watcher_ = std::thread([this] { watch(); });
  refresher_ = std::thread([this] { keep_fresh(); });
  renewer_ = std::thread([this] { keep_lease(); });
}

StoreLink::~StoreLink() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  stop_watch_.cancel();
  changed_.notify_all();
  for (std::thread* thread : {&watcher_, &refresher_, &renewer_}) thread->join();
}

StoreNews StoreLink::news() const {
  const std::lock_guard lock(mutex_);
  return news_;
}

// A watch only says that there is news: what is read is one moment of the whole.
void StoreLink::watch() {
  for (;;) {
    const Status ended =
        dcs_->watch(keys_.root(), 0, Deadline::after(std::chrono::hours(1)), &stop_watch_, [this](const auto& changes) {
          const std::lock_guard lock(mutex_);
          const auto& events = changes.events;
          if (std::any_of(events.begin(), events.end(), [this](const auto& event) { return is_news(event); })) {
            dirty_ = true;
            changed_.notify_all();
          }
          return !ends_;
        });
    std::unique_lock lock(mutex_);
    if (ends_) return;
    if (!ended.ok()) changed_.wait_for(lock, kPause, [this] { return ends_; });
    if (ends_) return;
  }
}

// A node that says again what it said before can wait for the next look, and so can the history.
bool StoreLink::is_news(const dcs::Event& event) const {
  if (event.kv.key.rfind(keys_.history(), 0) == 0) return false;
  const auto mark = node_marks_.find(event.kv.key);
  if (event.kind != dcs::Event::Kind::kPut || mark == node_marks_.end()) return true;
  const auto said = parse_publication(event.kv.value);
  return !said || steady_mark(*said) != mark->second;
}

void StoreLink::keep_fresh() {
  std::unique_lock lock(mutex_);
  while (!ends_) {
    const std::optional<std::string> text = std::exchange(publication_, std::nullopt);
    dirty_ = urgent_ = false;
    lock.unlock();
    const bool written = text && look(text);
    const bool read = written || refresh();
    const bool good = read && (written || !text) && take_quiet_back();
    lock.lock();
    if (text && !written && !publication_) publication_ = text;
    const auto wanted = [this] { return ends_ || dirty_ || urgent_ || quiet_over_; };
    if (good) {
      changed_.wait_for(lock, kEvery, wanted);
    } else {
      changed_.wait_for(lock, kPause, [this] { return ends_; });
    }
  }
}

void StoreLink::publish(const Publication& publication) {
  std::string mark = steady_mark(publication);
  const ha::Time now = Clock::now();
  const std::lock_guard lock(mutex_);
  if (!news_.ever) return;  // what we said in an earlier life is read before it is overwritten
  const bool news = mark != offered_;
  if (!news && now - offered_at_ < kSayAgain) return;
  offered_ = std::move(mark);
  offered_at_ = now;
  publication_ = to_json(publication);
  if (!news) return;
  urgent_ = true;
  changed_.notify_all();
}

bool StoreLink::refresh() { return look(std::nullopt); }

// What we have to say goes along with the question.
bool StoreLink::look(const std::optional<std::string>& publication) {
  const ha::Time asked = Clock::now();
  dcs::Txn all;
  if (publication) all.then.push_back(dcs::Op::put(keys_.member(config_.name), *publication));
  for (const std::string& key :
       {keys_.leader(), keys_.epoch(), keys_.sync(), keys_.transfer(), keys_.failover(), keys_.paused()}) {
    all.then.push_back(dcs::Op::get({key, false}));
  }
  all.then.push_back(dcs::Op::get({keys_.members(), true}));
  auto answer = dcs_->txn(all, Deadline::after(kCall));
  if (!answer.ok() || answer->results.size() != all.then.size()) return false;
  if (publication) answer->results.erase(answer->results.begin());
  if (take(*answer, asked)) on_news_();
  return true;
}

void StoreLink::take_request(const std::vector<dcs::KeyValue>& kvs, ha::Time now) {
  news_.request.reset();
  news_.view.request.reset();
  if (kvs.empty()) return;
  news_.request = read_request(kvs[0]);
  if (!news_.request) return;
  if (request_made_ != kvs[0].create_revision) {
    request_made_ = kvs[0].create_revision;
    request_since_ = now;
  }
  news_.request->request.deadline = request_since_ + news_.request->patience;
  news_.view.request = news_.request->request;
}

// What nodes had published in the copy that a store was restored from is no news of them. True if one says another
// thing than before.
bool StoreLink::take_nodes(const std::vector<dcs::KeyValue>& kvs, bool are_old, ha::Time now) {
  bool changed = false;
  for (const dcs::KeyValue& kv : kvs) {
    int64_t& last = node_revisions_[kv.key];
    if (std::exchange(last, kv.mod_revision) == kv.mod_revision || are_old) continue;
    auto said = parse_publication(kv.value);
    if (!said) continue;
    const std::string name = said->node.name;
    std::string mark = steady_mark(*said);
    changed = std::exchange(node_marks_[kv.key], mark) != mark || changed;
    news_.nodes[name] = {std::move(*said), now};
  }
  return changed;
}

// True if the loop should look at it at once, not only when it does so anyway.
bool StoreLink::take(const dcs::TxnResult& answer, ha::Time asked) {
  const ha::Time now = Clock::now();
  const std::lock_guard lock(mutex_);
  const StoreAge::Answer age = age_.take(answer.revision, answer.cluster, asked, now);
  if (age == StoreAge::Answer::kOlder) return false;
  const bool back = age == StoreAge::Answer::kWentBack;
  auto one = [&](size_t i) { return answer.results[i].kvs; };
  ha::StoreView& view = news_.view;
  const bool had = view.leader.has_value();
  view.leader = one(0).empty() ? std::nullopt : read_leader(one(0)[0]);
  if (had && !view.leader) view.leaderless_since = now;
  view.epoch = one(1).empty() ? ha::EpochRecord{} : read_epoch(one(1)[0]).value_or(ha::EpochRecord{});
  view.sync = one(2).empty() ? std::nullopt : read_sync(one(2)[0]);
  view.transfer = one(3).empty() ? "" : one(3)[0].value;
  take_request(one(4), now);
  view.paused = !one(5).empty();
  const bool nodes_changed = take_nodes(one(6), back, now);
  view.restored = age_.restored(view.sync ? view.sync->revision : 0);
  if (back) {
    log::warn("the lease store went back to revision " + std::to_string(answer.revision) +
              ": it was emptied or restored from a copy");
  }
  auto revisions = revisions_of(answer);
  const bool keys_changed = key_revisions_ != revisions;
  key_revisions_ = std::move(revisions);
  const bool was_silent = !news_.ever || asked - news_.asked > 2 * kEvery;
  news_.ever = true;
  news_.asked = asked;
  return keys_changed || nodes_changed || back || was_silent;
}

void StoreLink::renew(uint64_t lease) {
  const std::lock_guard lock(mutex_);
  renew_ = lease;
  changed_.notify_all();
}

ha::Time StoreLink::renewed(uint64_t lease) const {
  const std::lock_guard lock(mutex_);
  const auto found = renewed_.find(lease);
  return found == renewed_.end() ? ha::Time{} : found->second;
}

void StoreLink::keep_lease() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ends_ || renew_ != 0; });
    if (ends_) return;
    const uint64_t lease = std::exchange(renew_, 0);
    lock.unlock();
    const ha::Time sent = Clock::now();
    const bool done = dcs_->keep_alive(static_cast<dcs::LeaseId>(lease), Deadline::after(kCall)).ok();
    lock.lock();
    if (!done) continue;
    for (auto it = renewed_.begin(); it != renewed_.end();)
      it = it->first == lease ? std::next(it) : renewed_.erase(it);
    renewed_[lease] = std::max(renewed_[lease], sent);
  }
}

}  // namespace pgb::agent
