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
constexpr seconds kHistoryCall{10};
constexpr milliseconds kLookAgain{20};

// A record's JSON; an empty object if there is none.
Result<json> read(Dcs& store, const std::string& key) {
  auto found = store.range({key, false}, Deadline::after(kCall));
  if (!found.ok()) return std::move(found).error();
  if (found->kvs.empty()) return json::object();
  json doc = json::parse(found->kvs[0].value, nullptr, false);
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

// The sentence of the newest line of that kind; empty if there is none.
std::string last_words(Dcs& store, const Keys& keys, const std::string& action) {
  const auto lines = read_history(store, keys);
  if (!lines.ok()) return {};
  const auto found =
      std::find_if(lines->rbegin(), lines->rend(), [&](const HistoryLine& line) { return line.action == action; });
  return found == lines->rend() ? "" : found->text;
}

}  // namespace

Result<int64_t> leave_request(Dcs& store, const Keys& keys, const RoleRequest& request) {
  Txn txn;
  txn.when = {Compare::absent(keys.failover())};
  const json text{
      {"kind", request.kind}, {"node", request.node}, {"force", request.force}, {"seconds", kRequestPatience.count()}};
  txn.then = {Op::put(keys.failover(), text.dump(-1, ' ', false, json::error_handler_t::replace))};
  auto done = store.txn(txn, Deadline::after(kCall));
  if (!done.ok()) return std::move(done).error();
  if (done->succeeded) return done->revision;
  return Error(Code::kBusy, "another request to change roles stands").with("changed", "nothing");
}

Result<std::string> leader_of(Dcs& store, const Keys& keys) {
  auto leader = read(store, keys.leader());
  if (!leader.ok()) return std::move(leader).error();
  return value_of(*leader, "holder", std::string());
}

Result<RoleChange> wait_for_change(Dcs& store, const Keys& keys, const std::string& from,
                                   const std::function<Status()>& go_on) {
  const auto began = Deadline::Clock::now();
  const Deadline deadline = Deadline::after(kRequestPatience + seconds(10));
  for (; !deadline.expired(); std::this_thread::sleep_for(kLookAgain)) {
    PGB_TRY(go_on());
    auto leader = read(store, keys.leader());
    auto sync = read(store, keys.sync());
    auto request = read(store, keys.failover());
    if (!leader.ok() || !sync.ok() || !request.ok()) continue;
    const std::string holder = value_of(*leader, "holder", std::string());
    const uint64_t epoch = value_of(*leader, "epoch", uint64_t{0});
    const bool opened =
        value_of(*sync, "leader", std::string()) == holder && value_of(*sync, "epoch", uint64_t{0}) == epoch;
    if (!holder.empty() && holder != from && opened) {
      const std::chrono::duration<double> took = Deadline::Clock::now() - began;
      return RoleChange{from, holder, epoch, took.count(), last_words(store, keys, "acquire")};
    }
    if (request->empty() && !from.empty() && holder == from) {
      return Error(Code::kNotReady, last_words(store, keys, "request"))
          .with("changed", "nothing: " + from + " leads on");
    }
  }
  return Error(Code::kTimeout, "nobody else leads yet; the request may still be carried out")
      .with("look", "pgbalancer_cluster history");
}

Result<std::vector<HistoryLine>> read_history(Dcs& store, const Keys& keys) {
  auto found = store.range({keys.history(), true}, Deadline::after(kHistoryCall));
  if (!found.ok()) return std::move(found).error();
  std::vector<HistoryLine> lines;
  for (const KeyValue& kv : found->kvs) {
    const json doc = json::parse(kv.value, nullptr, false);
    if (!doc.is_object()) continue;
    lines.push_back({value_of(doc, "time", std::string()), value_of(doc, "node", std::string()),
                     value_of(doc, "action", std::string()), value_of(doc, "epoch", uint64_t{0}),
                     value_of(doc, "text", std::string()), kv.mod_revision, value_of(doc, "request", std::string())});
  }
  return lines;
}

}  // namespace pgb::dcs
