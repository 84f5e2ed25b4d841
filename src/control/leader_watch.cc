#include "control/leader_watch.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"

namespace pgb::control {
namespace {
constexpr std::chrono::seconds kPatience{5};             // of one question
constexpr std::chrono::hours kWatch{1};                  // of one wait for changes
constexpr std::chrono::seconds kLook{1};                 // the same, and one question, where the store may be silent
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

LeaderWatch::LeaderWatch(WatchedStore watched, OnLeader on_leader, OnHandover on_handover)
    : watched_(std::move(watched)),
      leader_("/" + watched_.group + "/leader"),
      handover_("/" + watched_.group + "/handover"),
      pause_("/" + watched_.group + "/paused"),
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

// Writes go on only under a live epoch: what a primary acknowledges after its lease may be lost with its role.
void LeaderWatch::tell_leader() {
  if (now_) last_epoch_ = now_->epoch;
  const bool is_over = !now_ && last_epoch_ && !paused_;
  on_leader_(is_over ? proxy::Leader{"", *last_epoch_} : now_);
}

// The revision from which on nothing is known; 0: the store says nothing.
dcs::Revision LeaderWatch::tell_now() {
  const auto patience = may_be_silent() ? kLook : kPatience;
  const auto now = watched_.store.range({watched_.root, true}, Deadline::after(patience));
  if (!now) return 0;
  heard_ = std::chrono::steady_clock::now();
  silent_ = false;
  now_.reset();
  paused_ = false;
  const dcs::KeyValue* handover = nullptr;
  for (const dcs::KeyValue& kv : now->kvs) {
    if (is_of_group(kv.key, leader_)) now_ = parse_leader(kv.value);
    if (is_of_group(kv.key, pause_)) paused_ = true;
    if (is_of_group(kv.key, handover_)) handover = &kv;
  }
  tell_leader();
  if (handover == nullptr) {
    leave_nobody();
  } else if (leaving_.empty()) {
    take_handover(*handover);
  }
  return now->revision + 1;
}

// Who led when it was heard last may have been replaced meanwhile: from here on the servers themselves are believed.
void LeaderWatch::note_silence() {
  if (!may_be_silent() || silent_ || std::chrono::steady_clock::now() - heard_ < watched_.silence) return;
  silent_ = true;
  log::warn("the lease store is silent: which server is the primary is taken from the servers alone");
  now_.reset();
  last_epoch_.reset();
  tell_leader();
  leave_nobody();
}

Deadline LeaderWatch::watch_limit() const {
  if (!leaving_.empty()) return Deadline::after(kHandover);
  return may_be_silent() ? Deadline::after(kLook) : Deadline::after(kWatch);
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
  (void)watched_.store.txn(answer, Deadline::after(kPatience));
}

void LeaderWatch::take(const dcs::Event& event) {
  const bool put = event.kind == dcs::Event::Kind::kPut;
  if (is_of_group(event.kv.key, handover_)) {
    if (put) return take_handover(event.kv);
    return leave_nobody();
  }
  if (is_of_group(event.kv.key, pause_)) {
    paused_ = put;
    return tell_leader();
  }
  if (!is_of_group(event.kv.key, leader_)) return;
  now_ = put ? parse_leader(event.kv.value) : std::nullopt;
  tell_leader();
  if (now_ && now_->node != leaving_) leave_nobody();
}

void LeaderWatch::run() {
  while (!canceller_.cancelled()) {
    const dcs::Revision from = tell_now();
    if (from == 0) {
      note_silence();
      std::this_thread::sleep_for(kBetweenTries);
      continue;
    }
    // One that has begun within this wait is seen to its end within the next one.
    bool begun = false;
    const Deadline limit = watch_limit();
    const Status ended =
        watched_.store.watch(watched_.root, from, limit, &canceller_, [&](const dcs::Changes& changes) {
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
