// A proxy for tests, which tells what is asked of it.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "proxy/admin.h"

namespace pgb::control {

class FakeProxy : public proxy::Admin {
 public:
  std::string said;      // the last order
  bool healthy = false;  // the one node
  uint64_t requests = 20;
  std::optional<std::set<std::string>> databases = std::set<std::string>{"My Shop", "a b", "my shop", "shop"};
  std::vector<proxy::NodeView> more;  // nodes
  proxy::PoolSettings settings;

  proxy::Stats stats() const override {
    proxy::Stats stats;
    stats.clients = 3;
    stats.nodes["primary1"].servers = 2;
    return stats;
  }
  proxy::TopologyPtr topology() const override {
    auto topology = std::make_shared<proxy::TopologySnapshot>();
    topology->nodes = {{"primary1", "10.0.0.1", 5432, proxy::NodeRole::kPrimary, healthy, healthy ? "" : "refused"}};
    proxy::ServerBasics basics;
    basics.asked_ns = std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
    basics.databases = databases;
    if (databases) topology->nodes[0].gauge->basics.put(std::move(basics));
    topology->nodes.insert(topology->nodes.end(), more.begin(), more.end());
    return topology;
  }
  void apply(proxy::TopologyPtr) override {}
  void set_pool(const proxy::PoolSettings&) override {}
  proxy::PoolSettings pool_settings() const override { return settings; }
  uint16_t port() const override { return 1; }

  std::vector<proxy::PoolRow> pools() const override { return {{"shop", "alice", "primary1", 1, 2, 3, 4, 5, 0.5}}; }
  std::vector<proxy::ClientRow> clients() const override { return std::vector<proxy::ClientRow>(2); }
  std::vector<proxy::ServerRow> servers() const override { return std::vector<proxy::ServerRow>(3); }
  std::vector<proxy::RouteRow> routes() const override { return {{"primary1", "it writes", 7}}; }
  std::vector<proxy::VerdictRow> verdicts() const override {
    return {{"writes", "primary1", "it writes", 4}, {"may do anything", "primary1", "it writes", 3}};
  }
  std::vector<proxy::TrafficRow> traffic() const override {
    proxy::TrafficRow row{"shop", "alice", 5, 2, 1, 1, 3, 0, 1.25, {}};
    row.traffic.requests = requests;
    row.traffic.transactions = 10;
    row.traffic.transaction_us = 5000;
    row.traffic.latency.note(300);
    proxy::TrafficRow past;
    past.database = "shop";
    past.traffic.requests = 100;
    return {past, row};
  }
  std::vector<proxy::LatencyRow> latencies() const override {
    proxy::Latency latency;
    latency.note(300);
    latency.note(20'000'000);
    return {{"primary1", latency}};
  }
  std::vector<proxy::CacheRow> caches() const override { return {{"shop", 3, 4000, 20, 3}}; }
  proxy::Outcome forget_statements(const std::string& database) override {
    return note("forget_statements " + database);
  }
  Result<proxy::UserSecret> secret_of(const std::string& user, Time) override {
    if (user == "away") return Error(Code::kUnreachable, "no server answers");
    return user == "alice" ? proxy::read_user_secret("alice", "wonderland", Secret("salt")) : proxy::UserSecret();
  }
  proxy::OrdersPtr orders() const override {
    proxy::Orders orders;
    orders.paused_databases = {"shop"};
    return std::make_shared<const proxy::Orders>(orders);
  }
  Result<proxy::Outcome> pause(const std::string& database, Time wait) override {
    return note("pause " + database + " " + std::to_string(wait.count()));
  }
  Result<proxy::Outcome> resume(const std::string& database) override { return note("resume " + database); }
  Result<proxy::Outcome> drain(const std::string& node, std::optional<Time> limit, Time wait) override {
    return note("drain " + node + " " + std::to_string(limit ? limit->count() : -1) + " " +
                std::to_string(wait.count()));
  }
  Result<proxy::Outcome> undrain(const std::string& node) override {
    if (node != "primary1") return Error(Code::kNoNode, "there is no node " + node);
    return note("undrain " + node);
  }
  Result<proxy::Outcome> reconnect(const std::string& node, const std::string& database, Time wait) override {
    return note("reconnect " + node + " " + database + " " + std::to_string(wait.count()));
  }
  proxy::Outcome wait_close(const std::string& node, const std::string& database, Time wait) override {
    return note("wait_close " + node + " " + database + " " + std::to_string(wait.count()));
  }
  Result<proxy::Outcome> kill_client(const std::string& id) override { return note("kill_client " + id); }
  proxy::Outcome kill(const std::string& database) override { return note("kill " + database); }
  void finish() override { note("finish"); }

 private:
  proxy::Outcome note(const std::string& what) {
    said = what;
    proxy::Outcome outcome;
    outcome.text = what;
    return outcome;
  }
};

}  // namespace pgb::control
