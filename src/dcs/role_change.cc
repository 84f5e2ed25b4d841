#include "dcs/role_change.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

namespace pgb::dcs {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr milliseconds kCall{2000};
constexpr milliseconds kLookAgain{20};
constexpr seconds kLeftOver{15};  // after its time a leader that is there has ended a request, and said why

// A record's JSON; an empty object if there is none.
json object_of(const std::vector<KeyValue>& kvs) {
  if (kvs.empty()) return json::object();
  json doc = json::parse(kvs[0].value, nullptr, false);
  return doc.is_object() ? doc : json::object();
}

// Its value, if it is there and of that kind.
template <class T>
T value_of(const json& doc, const char* key, T fallback) {
  try {
    return doc.value(key, std::move(fallback));
  } catch (const json::exception&) {
    return T();
  }
}

// The sentence of the newest line of that kind that was written after that revision; empty if there is none.
std::string last_words(Dcs& store, const Keys& keys, const std::string& action, int64_t after) {
  const auto lines = read_history(store, keys);
  if (!lines.ok()) return {};
  const auto found = std::find_if(lines->rbegin(), lines->rend(), [&](const HistoryLine& line) {
    return line.action == action && line.revision > after;
  });
  return found == lines->rend() ? "" : found->text;
}

// All of one moment: read one after the other, a leader of before and a request that is done with would look like a
// refusal.
struct Moment {
  std::string leader;
  uint64_t epoch = 0;
  bool opened = false;  // the leader has recorded where commits are: it takes writes
  bool asked = false;   // a request stands
};

Result<Moment> look(Dcs& store, const Keys& keys) {
  Txn txn;
  for (const std::string& key : {keys.leader(), keys.sync(), keys.failover()}) {
    txn.then.push_back(Op::get({key, false}));
  }
  auto answer = store.txn(txn, Deadline::after(kCall));
  if (!answer.ok()) return std::move(answer).error();
  if (answer->results.size() != txn.then.size()) {
    return Error(Code::kProtocol, "the lease store does not answer what it was asked");
  }
  const json leader = object_of(answer->results[0].kvs), sync = object_of(answer->results[1].kvs);
  Moment now;
  now.leader = value_of(leader, "holder", std::string());
  now.epoch = value_of(leader, "epoch", uint64_t{0});
  now.opened = !now.leader.empty() && value_of(sync, "leader", std::string()) == now.leader &&
               value_of(sync, "epoch", uint64_t{0}) == now.epoch;
  now.asked = !answer->results[2].kvs.empty();
  return now;
}

}  // namespace

Result<int64_t> leave_request(Dcs& store, const Keys& keys, const RoleRequest& request) {
  Txn txn;
  txn.when = {Compare::absent(keys.failover())};
  const json text{
      {"kind", request.kind}, {"node", request.node}, {"force", request.force}, {"seconds", kRequestPatience.count()}};
  const bool ends_itself = request.kind == "failover";  // nobody may lead for as long as the user likes
  auto lease = store.grant(kRequestPatience + (ends_itself ? seconds(0) : kLeftOver), Deadline::after(kCall));
  if (!lease.ok()) return std::move(lease).error();
  txn.then = {Op::put(keys.failover(), text.dump(-1, ' ', false, json::error_handler_t::replace), lease->id)};
  auto done = store.txn(txn, Deadline::after(kCall));
  if (!done.ok()) return std::move(done).error();
  if (done->succeeded) return done->revision;
  return Error(Code::kBusy, "another request to change roles stands").with("changed", "nothing");
}

bool withdraw_request(Dcs& store, const Keys& keys, int64_t revision) {
  Txn txn;
  txn.when = {{keys.failover(), Compare::Field::kModRevision, Compare::Relation::kEqual, revision, {}}};
  txn.then = {Op::remove({keys.failover(), false})};
  auto done = store.txn(txn, Deadline::after(kCall));
  return done.ok() && done->succeeded;
}

Op history_line(const Keys& keys, const HistoryLine& line) {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  const auto millis = std::chrono::duration_cast<milliseconds>(since).count();
  const json doc = {
      {"time", line.time}, {"node", line.node}, {"action", line.action}, {"epoch", line.epoch}, {"text", line.text}};
  return Op::put(keys.history_entry(static_cast<int64_t>(line.epoch)) + "-" + std::to_string(millis) + "-" + line.node,
                 doc.dump(-1, ' ', false, json::error_handler_t::replace));
}

Result<std::string> leader_of(Dcs& store, const Keys& keys) {
  auto found = store.range({keys.leader(), false}, Deadline::after(kCall));
  if (!found.ok()) return std::move(found).error();
  return value_of(object_of(found->kvs), "holder", std::string());
}

Result<RoleChange> wait_for_change(Dcs& store, const Keys& keys, const std::string& from, int64_t request,
                                   const std::function<Status()>& go_on) {
  const auto began = Deadline::Clock::now();
  const Deadline deadline = Deadline::after(kRequestPatience + seconds(10));
  for (; !deadline.expired(); std::this_thread::sleep_for(kLookAgain)) {
    PGB_TRY(go_on());
    const auto now = look(store, keys);
    if (!now.ok()) continue;
    if (now->opened && now->leader != from) {
      const std::chrono::duration<double> took = Deadline::Clock::now() - began;
      return RoleChange{from, now->leader, now->epoch, took.count(), last_words(store, keys, "acquire", request)};
    }
    if (!now->asked && !from.empty() && now->leader == from) {
      const std::string said = last_words(store, keys, "request", request);
      return Error(Code::kNotReady, said.empty() ? "the request is gone, and nobody says why" : said)
          .with("changed", "nothing: " + from + " leads on");
    }
  }
  return Error(Code::kTimeout, "nobody else leads yet; the request may still be carried out")
      .with("look", "pgbalancer_cluster history");
}

Result<std::vector<HistoryLine>> read_history(Dcs& store, const Keys& keys, Deadline deadline) {
  auto found = store.range({keys.history(), true}, deadline);
  if (!found.ok()) return std::move(found).error();
  std::vector<HistoryLine> lines;
  for (const KeyValue& kv : found->kvs) {
    const json doc = json::parse(kv.value, nullptr, false);
    if (!doc.is_object()) continue;
    lines.push_back({value_of(doc, "time", std::string()), value_of(doc, "node", std::string()),
                     value_of(doc, "action", std::string()), value_of(doc, "epoch", uint64_t{0}),
                     value_of(doc, "text", std::string()), kv.mod_revision, value_of(doc, "request", std::string()),
                     value_of(doc, "timeline", uint64_t{0})});
  }
  return lines;
}

}  // namespace pgb::dcs
