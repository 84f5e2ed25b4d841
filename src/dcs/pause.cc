#include "dcs/pause.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "dcs/role_change.h"

namespace pgb::dcs {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kCall{2000};
constexpr std::chrono::seconds kPatience{20};  // for a leader to end a pause
constexpr std::chrono::milliseconds kLookAgain{20};

struct Standing {
  bool paused = false;
  std::string leader;
  int64_t request = 0;  // revision of the one that stands; 0: none
};

Result<Standing> look(Dcs& store, const Keys& keys) {
  Txn txn;
  txn.then = {Op::get({keys.paused(), false}), Op::get({keys.leader(), false}), Op::get({keys.failover(), false})};
  auto found = store.txn(txn, Deadline::after(kCall));
  if (!found.ok()) return std::move(found).error();
  if (found->results.size() != 3) return Error(Code::kProtocol, "the lease store does not answer what it was asked");
  Standing now;
  now.paused = !found->results[0].kvs.empty();
  if (const auto& leader = found->results[1].kvs; !leader.empty()) {
    const json doc = json::parse(leader[0].value, nullptr, false);
    const auto holder = doc.is_object() ? doc.find("holder") : doc.end();
    if (doc.is_object() && holder != doc.end() && holder->is_string()) now.leader = holder->get<std::string>();
  }
  if (const auto& request = found->results[2].kvs; !request.empty()) now.request = request[0].mod_revision;
  return now;
}

}  // namespace

Result<bool> begin_pause(Dcs& store, const Keys& keys, uint64_t epoch, const std::string& node, const Pause& pause) {
  Txn txn;
  txn.when = {Compare::absent(keys.paused())};
  const json text{{"since", pause.since}, {"by", pause.by}};
  txn.then = {Op::put(keys.paused(), text.dump(-1, ' ', false, json::error_handler_t::replace)),
              history_line(keys, {pause.since, node, "pause", epoch, "paused by " + pause.by})};
  auto done = store.txn(txn, Deadline::after(kCall));
  if (!done.ok()) return std::move(done).error();
  return done->succeeded;
}

Status end_pause(Dcs& store, const Keys& keys, const std::function<Status()>& go_on) {
  auto request = leave_request(store, keys, {"resume", "", false});
  if (!request.ok()) return std::move(request).error();
  const Deadline patience = Deadline::after(kPatience);
  Status ended;
  for (; !patience.expired() && ended.ok(); std::this_thread::sleep_for(kLookAgain)) {
    auto now = look(store, keys);
    if (now.ok() && !now->paused) return {};
    if (now.ok() && (now->leader.empty() || now->request != *request)) break;  // it will not be the one to do it
    ended = go_on();
  }
  withdraw_request(store, keys, *request);
  auto now = look(store, keys);
  if (!now.ok()) return std::move(now).error();
  if (!now->paused) return {};
  if (!ended.ok()) return ended;
  if (now->leader.empty()) return Error(Code::kNotReady, "nobody leads");
  return Error(Code::kTimeout, now->leader + ", which leads, has not ended the pause");
}

}  // namespace pgb::dcs
