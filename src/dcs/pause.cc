#include "dcs/pause.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "dcs/role_change.h"

namespace pgb::dcs {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kCall{2000};
constexpr std::chrono::seconds kPatience{20};  // for a leader to end a pause
constexpr std::chrono::milliseconds kLookAgain{20};

std::string text_of(const json& doc, const char* key) {
  const auto found = doc.is_object() ? doc.find(key) : doc.end();
  return doc.is_object() && found != doc.end() && found->is_string() ? found->get<std::string>() : "";
}

Pause read_pause(const std::string& value) {
  const json doc = json::parse(value, nullptr, false);
  return {text_of(doc, "since"), text_of(doc, "by")};
}

struct Standing {
  std::optional<Pause> pause;
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
  if (const auto& kvs = found->results[0].kvs; !kvs.empty()) now.pause = read_pause(kvs[0].value);
  if (const auto& leader = found->results[1].kvs; !leader.empty()) {
    now.leader = text_of(json::parse(leader[0].value, nullptr, false), "holder");
  }
  if (const auto& request = found->results[2].kvs; !request.empty()) now.request = request[0].mod_revision;
  return now;
}

// What stands after a request to end the pause that did not lead to it.
std::string what_stands(const Result<Standing>& now, int64_t request) {
  if (!now.ok()) return "whether it is still paused is not known: the lease store does not answer";
  if (now->request == request) return "it is still paused; " + now->leader + " was asked to end that, and still may";
  return "it is still paused";
}

}  // namespace

Result<Begun> begin_pause(Dcs& store, const Keys& keys, uint64_t epoch, const std::string& node, const Pause& pause) {
  Txn txn;
  txn.when = {Compare::absent(keys.paused())};
  const json text{{"since", pause.since}, {"by", pause.by}};
  txn.then = {Op::put(keys.paused(), text.dump(-1, ' ', false, json::error_handler_t::replace)),
              history_line(keys, {pause.since, node, "pause", epoch, "paused by " + pause.by})};
  auto done = store.txn(txn, Deadline::after(kCall));
  const bool in_doubt = !done.ok() && outcome_of(done.error()) == Outcome::kUnknown;
  if (!done.ok() && !in_doubt) return std::move(done).error().with("changed", "nothing");
  if (done.ok() && done->succeeded) return Begun{true, pause};
  // The answer did not come, or another one was faster.
  auto now = look(store, keys);
  if (now.ok() && now->pause) {
    const bool same = now->pause->since == pause.since && now->pause->by == pause.by;
    return Begun{in_doubt && same, *now->pause};
  }
  if (!in_doubt) return Error(Code::kNotReady, "another pause has just ended").with("changed", "nothing");
  return std::move(done).error().with("standing",
                                      "nobody knows whether it is paused: the store was asked to, and did not answer");
}

Status end_pause(Dcs& store, const Keys& keys, const std::function<Status()>& go_on) {
  auto request = leave_request(store, keys, {"resume", "", false});
  if (!request.ok()) return std::move(request).error();
  const Deadline patience = Deadline::after(kPatience);
  Status ended;
  for (; !patience.expired() && ended.ok(); std::this_thread::sleep_for(kLookAgain)) {
    auto now = look(store, keys);
    if (now.ok() && !now->pause) return {};
    if (now.ok() && (now->leader.empty() || now->request != *request)) break;  // it will not be the one to do it
    ended = go_on();
  }
  withdraw_request(store, keys, *request);
  auto now = look(store, keys);
  if (now.ok() && !now->pause) return {};
  Error why = !ended.ok()           ? std::move(ended).error()
              : !now.ok()           ? std::move(now).error()
              : now->leader.empty() ? Error(Code::kNotReady, "nobody leads")
                                    : Error(Code::kTimeout, now->leader + ", which leads, has not ended the pause");
  return std::move(why).with("standing", what_stands(now, *request));
}

}  // namespace pgb::dcs
