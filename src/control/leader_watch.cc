#include "control/leader_watch.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"

namespace pgb::control {
namespace {
constexpr char kRoot[] = "/pgbalancer/";                 // of all groups, see dcs/keys.h
constexpr std::chrono::seconds kPatience{5};             // of one question
constexpr std::chrono::hours kWatch{1};                  // of one wait for changes
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

LeaderWatch::LeaderWatch(dcs::LocalStore& store, std::string group, OnLeader on_leader)
    : store_(store), suffix_("/" + group + "/leader"), on_leader_(std::move(on_leader)), thread_([this] { run(); }) {}

LeaderWatch::~LeaderWatch() {
  canceller_.cancel();
  thread_.join();
}

bool LeaderWatch::is_leader_key(const std::string& key) const {
  return key.size() >= suffix_.size() && key.compare(key.size() - suffix_.size(), suffix_.size(), suffix_) == 0;
}

// The revision from which on nothing is known; 0: the store says nothing.
dcs::Revision LeaderWatch::tell_now() {
  const auto now = store_.range({kRoot, true}, Deadline::after(kPatience));
  if (!now) return 0;
  std::optional<proxy::Leader> leader;
  for (const dcs::KeyValue& kv : now->kvs) {
    if (is_leader_key(kv.key)) leader = parse_leader(kv.value);
  }
  on_leader_(std::move(leader));
  return now->revision + 1;
}

void LeaderWatch::run() {
  while (!canceller_.cancelled()) {
    const dcs::Revision from = tell_now();
    if (from == 0) {
      std::this_thread::sleep_for(kBetweenTries);
      continue;
    }
    const Status ended =
        store_.watch(kRoot, from, Deadline::after(kWatch), &canceller_, [this](const dcs::Changes& changes) {
          for (const dcs::Event& event : changes.events) {
            if (!is_leader_key(event.kv.key)) continue;
            on_leader_(event.kind == dcs::Event::Kind::kPut ? parse_leader(event.kv.value) : std::nullopt);
          }
          return true;
        });
    if (!ended.ok() && !canceller_.cancelled())
      log::warn("the lease store cannot be watched: " + ended.error().message);
  }
}

}  // namespace pgb::control
