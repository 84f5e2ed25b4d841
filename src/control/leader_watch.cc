#include "control/leader_watch.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"

namespace pgb::control {
namespace {
constexpr char kRoot[] = "/pgbalancer/";                 // of all groups, see dcs/keys.h
constexpr std::chrono::seconds kPatience{5};             // of one question
constexpr std::chrono::hours kWatch{1};                  // of one wait for changes
constexpr std::chrono::seconds kHandover{10};            // the same while somebody hands over: then it goes on
constexpr std::chrono::milliseconds kBetweenTries{200};  // when the store says no
}  // namespace

std::optional<proxy::Leader> parse_leader(std::string_view text) {
  const auto doc = nlohmann::json::parse(text, nullptr, false);
  if (!doc.is_object()) return std::nullopt;
  const auto holder = doc.find("holder"), epoch = doc.find("epoch");
  if (holder == doc.end() || !holder->is_string() || epoch == doc.end() || !epoch->is_number_integer()) {
    return std::nullopt;
  }
  return proxy::Leader{holder->get<std::string>(), epoch->get<int64_t>()};
}

std::string parse_handover(std::string_view text) {
  const auto doc = nlohmann::json::parse(text, nullptr, false);
  if (!doc.is_object() || doc.contains("quiet")) return "";
  const auto node = doc.find("node");
  return node != doc.end() && node->is_string() ? node->get<std::string>() : "";
}

LeaderWatch::LeaderWatch(dcs::LocalStore& store, std::string group, OnLeader on_leader, OnHandover on_handover)
    : store_(store),
      leader_("/" + group + "/leader"),
      handover_("/" + group + "/handover"),
      on_leader_(std::move(on_leader)),
      on_handover_(std::move(on_handover)),
      thread_([this] { run(); }) {}

LeaderWatch::~LeaderWatch() {
  canceller_.cancel();
  thread_.join();
}

bool LeaderWatch::is_of_group(const std::string& key, const std::string& suffix) const {
  return key.size() >= suffix.size() && key.compare(key.size() - suffix.size(), suffix.size(), suffix) == 0;
}

// The revision from which on nothing is known; 0: the store says nothing.
dcs::Revision LeaderWatch::tell_now() {
  const auto now = store_.range({kRoot, true}, Deadline::after(kPatience));
  if (!now) return 0;
  std::optional<proxy::Leader> leader;
  const dcs::KeyValue* handover = nullptr;
  for (const dcs::KeyValue& kv : now->kvs) {
    if (is_of_group(kv.key, leader_)) leader = parse_leader(kv.value);
    if (is_of_group(kv.key, handover_)) handover = &kv;
  }
  on_leader_(std::move(leader));
  if (handover == nullptr) {
    leave_nobody();
  } else if (leaving_.empty()) {
    take_handover(*handover);
  }
  return now->revision + 1;
}

void LeaderWatch::leave_nobody() {
  if (std::exchange(leaving_, "").empty()) return;
  on_handover_("");
}

// It is answered only if nothing has changed meanwhile, and vanishes with the leader's lease like the question.
void LeaderWatch::take_handover(const dcs::KeyValue& kv) {
  const std::string node = parse_handover(kv.value);
  if (node.empty() || kv.mod_revision == gave_up_on_) return;
  leaving_ = node;
  gave_up_on_ = kv.mod_revision;
  if (!on_handover_(node)) return;
  dcs::Txn answer;
  answer.when = {dcs::Compare::unchanged(kv)};
  answer.then = {dcs::Op::put(kv.key, nlohmann::json{{"node", node}, {"quiet", true}}.dump(), kv.lease)};
  (void)store_.txn(answer, Deadline::after(kPatience));
}

void LeaderWatch::take(const dcs::Event& event) {
  const bool put = event.kind == dcs::Event::Kind::kPut;
  if (is_of_group(event.kv.key, handover_)) {
    if (put) return take_handover(event.kv);
    return leave_nobody();
  }
  if (!is_of_group(event.kv.key, leader_)) return;
  auto leader = put ? parse_leader(event.kv.value) : std::nullopt;
  const bool another = leader && leader->node != leaving_;
  on_leader_(std::move(leader));
  if (another) leave_nobody();
}

void LeaderWatch::run() {
  while (!canceller_.cancelled()) {
    const dcs::Revision from = tell_now();
    if (from == 0) {
      std::this_thread::sleep_for(kBetweenTries);
      continue;
    }
    // One that has begun within this wait is seen to its end within the next one.
    bool begun = false;
    const auto limit = leaving_.empty() ? Deadline::after(kWatch) : Deadline::after(kHandover);
    const Status ended = store_.watch(kRoot, from, limit, &canceller_, [&](const dcs::Changes& changes) {
      const bool before = leaving_.empty();
      for (const dcs::Event& event : changes.events) take(event);
      begun = before && !leaving_.empty();
      return !begun;
    });
    if (!ended.ok() && !canceller_.cancelled())
      log::warn("the lease store cannot be watched: " + ended.error().message);
    if (ended.ok() && !begun && !leaving_.empty() && limit.expired()) {
      log::warn("node " + leaving_ + " was about to hand over and has not: it gets work again");
      leave_nobody();
    }
  }
}

}  // namespace pgb::control
