#include "control/group_roles.h"

#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/strings.h"
#include "control/text_of.h"
#include "dcs/pause.h"

namespace pgb::control {
namespace {

using nlohmann::json;

constexpr char kRoot[] = "/pgbalancer/";  // of all groups, see dcs/keys.h
constexpr std::chrono::seconds kPatience{2};

Error no_agents() {
  return Error(Code::kNotReady,
               "no agents choose the primary here: this balancer knows of no lease store; roles are those that the "
               "servers "
               "were made with")
      .with("changed", "nothing")
      .with("try",
            "\"ha\": {\"failover\": true} in the cluster file, before it is made; or tell the balancer with "
            "\"etcd\" where the agents meet");
}

Error nobody_came(const std::string& group) {
  return Error(Code::kNotReady, "no agent of group " + group + " has come to the lease store yet");
}

// The cluster of the first key that is this group's; a store serves one. Nothing if there is none.
std::optional<std::string> cluster_of(const std::vector<dcs::KeyValue>& kvs, const std::string& group) {
  for (const dcs::KeyValue& kv : kvs) {
    const auto parts = split(kv.key, '/');
    if (parts.size() > 4 && parts[3] == group) return parts[2];
  }
  return std::nullopt;
}

std::string text_of(const json& doc, const char* key) {
  const auto found = doc.find(key);
  return found != doc.end() && found->is_string() ? found->get<std::string>() : "";
}
uint64_t number_of(const json& doc, const char* key) {
  const auto found = doc.find(key);
  return found != doc.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::vector<GroupRoles::Fork> history_of(const json& doc) {
  std::vector<GroupRoles::Fork> forks;
  const auto found = doc.find("history");
  if (found == doc.end() || !found->is_array()) return forks;
  for (const json& fork : *found) {
    const bool is_one =
        fork.is_array() && fork.size() == 2 && fork[0].is_number_unsigned() && fork[1].is_number_unsigned();
    if (is_one) forks.push_back({fork[0].get<uint64_t>(), fork[1].get<uint64_t>()});
  }
  return forks;
}

GroupRoles::Member member_of(const json& doc) {
  GroupRoles::Member member{
      text_of(doc, "name"),      text_of(doc, "state"), text_of(doc, "sentence"), std::nullopt, false,
      number_of(doc, "timeline")};
  member.history = history_of(doc);
  member.commits_wait = text_of(doc, "commits_wait");
  if (doc.contains("follows")) member.follows = text_of(doc, "follows");
  member.streaming = doc.value("streaming", json(false)) == true;
  return member;
}

void read_record(const dcs::Keys& keys, const dcs::KeyValue& kv, const json& doc, GroupRoles::Now& now) {
  const std::string& key = kv.key;
  if (key == keys.leader()) {
    now.leader = text_of(doc, "holder");
  } else if (key == keys.epoch()) {
    now.epoch = number_of(doc, "epoch");
  } else if (key == keys.sync()) {
    now.durability = text_of(doc, "durability");
    now.sync_required = number_of(doc, "required");
    now.sync_leader = text_of(doc, "leader");
    const auto members = doc.find("members");
    if (members == doc.end() || !members->is_array()) return;
    for (const json& member : *members) {
      if (member.is_string()) now.sync_members.push_back(member.get<std::string>());
    }
  } else if (key == keys.failover()) {
    const std::string node = text_of(doc, "node");
    now.request = text_of(doc, "kind") + (node.empty() ? "" : " to " + node);
  } else if (key.rfind(keys.members(), 0) == 0) {
    now.members.push_back(member_of(doc));
    now.members.back().revision = kv.mod_revision;
  }
}

}  // namespace

namespace {

// Of one moment. The history is long, and none of it is asked for.
Result<GroupRoles::Now> read_now(dcs::Dcs& store, const dcs::Keys& keys) {
  dcs::Txn txn;
  for (const std::string& key : {keys.leader(), keys.epoch(), keys.sync(), keys.failover(), keys.paused()}) {
    txn.then.push_back(dcs::Op::get({key, false}));
  }
  txn.then.push_back(dcs::Op::get({keys.members(), true}));
  auto found = store.txn(txn, Deadline::after(kPatience));
  if (!found) return std::move(found).error();
  GroupRoles::Now now;
  now.cluster = split(keys.root(), '/')[2];
  bool any = false;
  for (const dcs::OpResult& result : found->results) {
    for (const dcs::KeyValue& kv : result.kvs) {
      any = true;
      if (kv.key == keys.paused()) now.paused = true;
      const json doc = json::parse(kv.value, nullptr, false);
      if (doc.is_object()) read_record(keys, kv, doc, now);
    }
  }
  if (!any) return nobody_came(split(keys.root(), '/')[3]);
  return now;
}

}  // namespace

std::string GroupRoles::Now::commits_wait() const {
  for (const Member& member : members) {
    if (member.name == leader) return member.commits_wait;
  }
  return "";
}

void GroupRoles::use(std::shared_ptr<dcs::Dcs> store) {
  const std::lock_guard lock(mutex_);
  store_.swap(store);  // what was there ends, if nobody asks it any more, when the mutex is free
}

std::shared_ptr<dcs::Dcs> GroupRoles::store() const {
  const std::lock_guard lock(mutex_);
  return store_;
}

bool GroupRoles::has_store() const { return store() != nullptr; }

template <class Work>
auto GroupRoles::with_store(Work work) const
    -> decltype(work(std::declval<dcs::Dcs&>(), std::declval<const dcs::Keys&>())) {
  const std::shared_ptr<dcs::Dcs> store = this->store();
  if (store == nullptr) return no_agents();
  if (!cluster_.empty()) return work(*store, dcs::Keys(cluster_, group_));
  auto all = store->range({kRoot, true}, Deadline::after(kPatience));
  if (!all) return std::move(all).error();
  const auto cluster = cluster_of(all->kvs, group_);
  if (!cluster) return nobody_came(group_);
  return work(*store, dcs::Keys(*cluster, group_));
}

bool GroupRoles::answers() const {
  const std::shared_ptr<dcs::Dcs> store = this->store();
  return store != nullptr && store->range({kRoot, true}, Deadline::after(kPatience));
}

Result<GroupRoles::Now> GroupRoles::now() const {
  auto now = with_store(read_now);
  if (now) note(*now);
  return now;
}

// What an agent said stays in the store when it is gone, and is then no news of anything.
void GroupRoles::note(Now& now) const {
  std::map<std::string, int64_t> revisions;
  for (const Member& member : now.members) revisions[member.name] = member.revision;
  const std::lock_guard lock(mutex_);
  const auto at = MemberAges::Time::clock::now();
  const auto ages = ages_.take(revisions, at);
  for (Member& member : now.members) {
    member.age_s = ages.at(member.name);
    if (!member.silent()) continue;
    member.sentence = "nothing for " + fixed(member.age_s, 0) + " s; before that it was " + member.state +
                      (member.sentence.empty() ? "" : ": " + member.sentence);
    member.state = "silent";
    member.follows.reset();
    member.streaming = false;
    member.commits_wait.clear();
    member.timeline = 0;
  }
  last_ = now;
  last_at_ = at;
}

std::optional<GroupRoles::Now> GroupRoles::lately() const {
  constexpr std::chrono::seconds kLately{3};
  const std::lock_guard lock(mutex_);
  return std::chrono::steady_clock::now() - last_at_ <= kLately ? last_ : std::nullopt;
}

Result<std::vector<dcs::HistoryLine>> GroupRoles::history(Deadline deadline) const {
  return with_store([&](dcs::Dcs& store, const dcs::Keys& keys) { return dcs::read_history(store, keys, deadline); });
}

Result<dcs::RoleChange> GroupRoles::switchover(const std::string& node) {
  return with_store([&](dcs::Dcs& store, const dcs::Keys& keys) -> Result<dcs::RoleChange> {
    auto from = dcs::leader_of(store, keys);
    if (!from) return std::move(from).error();
    if (from->empty()) return Error(Code::kNotReady, "nobody leads the group just now").with("changed", "nothing");
    if (*from == node) return dcs::RoleChange{node, node, 0, 0, node + " leads already"};
    const auto request = dcs::leave_request(store, keys, {"switchover", node, false});
    if (!request) return request.error();
    return dcs::wait_for_change(store, keys, *from, *request, [&] { return go_on(store); });
  });
}

Status GroupRoles::go_on(const dcs::Dcs& store) const {
  return this->store().get() != &store ? Status(Error(Code::kTimeout, "the balancer ends; what was asked goes on"))
                                       : Status();
}

Result<std::string> GroupRoles::pause() {
  return with_store([&](dcs::Dcs& store, const dcs::Keys& keys) -> Result<std::string> {
    const auto now = read_now(store, keys);
    if (!now) return now.error();
    const dcs::Pause pause{utc_millis(std::chrono::system_clock::now()), "an operator at the balancer " + group_};
    const auto begun = dcs::begin_pause(store, keys, now->epoch, "balancer", pause);
    if (!begun) return begun.error();
    return std::string(begun->ours ? "paused: no server takes over by itself until somebody resumes it"
                                   : "paused already");
  });
}

Result<std::string> GroupRoles::resume() {
  return with_store([&](dcs::Dcs& store, const dcs::Keys& keys) -> Result<std::string> {
    const auto now = read_now(store, keys);
    if (!now) return now.error();
    if (!now->paused) return std::string("it is not paused: agents watch over the primary");
    if (!now->leader.empty()) {
      auto ended = dcs::end_pause(store, keys, [&] { return go_on(store); });
      if (!ended) return std::move(ended).error();
      if (*ended == dcs::PauseEnd::kEnded) {
        return "resumed: agents watch over the primary, and " + now->leader + " leads";
      }
    }
    return Error(Code::kNotReady,
                 "nobody leads, and a server may still run as the primary of the time before: somebody has to look at "
                 "every server first")
        .with("changed", "nothing: it stays paused")
        .with("try", "pgbalancer_cluster resume");
  });
}

Status GroupRoles::reinit(const std::string& node) {
  return with_store([&](dcs::Dcs& store, const dcs::Keys& keys) -> Status {
    auto leader = dcs::leader_of(store, keys);
    if (!leader) return std::move(leader).error();
    if (leader->empty()) {
      return Error(Code::kNotReady, "nobody leads the group just now: there is nothing to copy from")
          .with("changed", "nothing");
    }
    if (*leader == node) {
      return Error(Code::kIsPrimary, node + " is the primary: it cannot be made anew").with("changed", "nothing");
    }
    PGB_TRY(dcs::leave_request(store, keys, {"reinit", node, false}));
    return {};
  });
}

}  // namespace pgb::control
