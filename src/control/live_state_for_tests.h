// A group that tests change, and a LiveState that looks at it.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "control/fake_proxy.h"
#include "control/live_state.h"

namespace pgb::control {

using Json = nlohmann::json;
using std::chrono::milliseconds;

// A group whose state a test changes.
class Group : public FakeProxy {
 public:
  proxy::TopologyPtr topology() const override {
    const std::lock_guard lock(mutex_);
    return topology_;
  }
  proxy::OrdersPtr orders() const override {
    const std::lock_guard lock(mutex_);
    return orders_;
  }
  void set(std::vector<proxy::NodeView> nodes) {
    auto next = std::make_shared<proxy::TopologySnapshot>();
    next->nodes = std::move(nodes);
    const std::lock_guard lock(mutex_);
    next->version = topology_->version + 1;
    topology_ = std::move(next);
  }
  // Nothing can be asked meanwhile.
  void hold(bool on) { held_ = on; }
  std::vector<proxy::TrafficRow> traffic() const override {
    while (held_) std::this_thread::sleep_for(milliseconds(2));
    return FakeProxy::traffic();
  }
  std::vector<proxy::ClientRow> clients() const override {
    std::vector<proxy::ClientRow> rows(5);
    for (proxy::ClientRow& row : rows) row.state = "paused";
    rows[0].waiting_s = 7;
    rows[1].state = "active";
    return rows;
  }
  void set_paused(bool paused) {
    auto next = std::make_shared<proxy::Orders>();
    next->paused = paused;
    const std::lock_guard lock(mutex_);
    orders_ = std::move(next);
  }

 private:
  std::atomic<bool> held_{false};
  mutable std::mutex mutex_;
  proxy::TopologyPtr topology_ = std::make_shared<proxy::TopologySnapshot>();
  proxy::OrdersPtr orders_ = std::make_shared<proxy::Orders>();
};

inline constexpr auto kPrimary = proxy::NodeRole::kPrimary, kReplica = proxy::NodeRole::kReplica;

inline proxy::NodeView node(const char* name, proxy::NodeRole role, bool healthy = true, const char* error = "") {
  proxy::NodeView view;
  view.name = name;
  view.host = "10.0.0.1";
  view.role = role;
  view.healthy = healthy;
  view.last_error = error;
  return view;
}

class LiveStateTest : public ::testing::Test {
 protected:
  LiveStateTest() { group_.set({node("a", kPrimary), node("b", kReplica)}); }
  void start(const GroupRoles* roles = nullptr, const std::string& cluster = "shop") {
    live_ = std::make_unique<LiveState>(group_, roles,
                                        LiveState::Settings{"lb1", cluster, milliseconds(5), milliseconds(20), 2});
  }
  Json snapshot() { return Json::parse(live_->snapshot({"viewer", "alice"})); }
  template <class Holds>
  Json wait_for(Holds holds) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    Json now = snapshot();
    while (!holds(now) && std::chrono::steady_clock::now() < limit) {
      std::this_thread::sleep_for(milliseconds(2));
      now = snapshot();
    }
    EXPECT_TRUE(holds(now)) << now.dump(1);
    return now;
  }
  static bool tells(const Json& snapshot, const std::string& text) {
    for (const Json& event : snapshot["events"]) {
      if (event["text"].get<std::string>().find(text) != std::string::npos) return true;
    }
    return false;
  }
  Group group_;
  std::unique_ptr<LiveState> live_;
};

}  // namespace pgb::control
