#include "control/metrics.h"

#include <gtest/gtest.h>

#include <chrono>
#include <sstream>

#include "control/fake_proxy.h"
#include "control/metric_text.h"

namespace pgb::control {
namespace {

TEST(MetricText, LabelsAreEscapedAndHistogramsAddUp) {
  MetricText text(true);
  text.begin(MetricText::Type::kHistogram, "x_seconds", "It takes \"time\".");
  proxy::Latency latency;
  latency.note(100);  // belongs to the class whose bound it is
  latency.note(101);
  latency.note(99'000'000);
  text.add(latency, {{"name", "a\"b\\c\nd"}});
  const std::string out = text.finish();
  const std::string label = R"(name="a\"b\\c\nd")";
  EXPECT_NE(out.find("# HELP x_seconds It takes \\\"time\\\".\n# TYPE x_seconds histogram\n# UNIT x_seconds seconds\n"),
            std::string::npos)
      << out;
  for (const char* line : {",le=\"0.0001\"} 1\n", ",le=\"0.00025\"} 2\n", ",le=\"1.0\"} 2\n", ",le=\"+Inf\"} 3\n"}) {
    EXPECT_NE(out.find("x_seconds_bucket{" + label + line), std::string::npos) << line << out;
  }
  EXPECT_NE(out.find("x_seconds_sum{" + label + "} 99.000201\nx_seconds_count{" + label + "} 3\n# EOF\n"),
            std::string::npos)
      << out;
}

TEST(MetricText, ACounterIsNamedAsTheFormatWantsIt) {
  for (const bool openmetrics : {false, true}) {
    MetricText text(openmetrics);
    text.one(MetricText::Type::kCounter, "x", "X.", 1.5);
    const std::string out = text.finish();
    EXPECT_NE(
        out.find(openmetrics ? "# TYPE x counter\nx_total 1.5\n# EOF\n" : "# TYPE x_total counter\nx_total 1.5\n"),
        std::string::npos)
        << out;
  }
}

size_t lines_with(const std::string& text, const std::string& part) {
  std::istringstream in(text);
  size_t count = 0;
  for (std::string line; std::getline(in, line);) count += line.find(part) != std::string::npos ? 1 : 0;
  return count;
}

class ManyDatabases final : public FakeProxy {
 public:
  std::vector<proxy::TrafficRow> traffic() const override {
    std::vector<proxy::TrafficRow> rows;
    for (uint64_t i = 0; i < 1000; ++i) {
      proxy::TrafficRow row;
      row.database = "db" + std::to_string(i);
      row.user = "user";
      row.clients = 1;
      row.traffic.requests = i;
      rows.push_back(row);
    }
    return rows;
  }
};

TEST(Metrics, TheNumberOfSeriesIsBoundedAndNothingIsLost) {
  const std::string text = metrics_of(ManyDatabases(), {}, true);
  EXPECT_EQ(lines_with(text, "pgbalancer_database_requests_total{"), 101u);
  EXPECT_EQ(lines_with(text, "pgbalancer_pool_clients{"), 201u);
  EXPECT_EQ(lines_with(text, "pgbalancer_database_requests_total{database=\"db999\"} 999"), 1u);
  EXPECT_EQ(lines_with(text, "pgbalancer_database_requests_total{database=\"(other)\"} 404550"), 1u) << "0 + … + 899";
  EXPECT_EQ(lines_with(text, "pgbalancer_pool_clients{database=\"(other)\",user=\"(other)\"} 800"), 1u);
}

class ManyUsers final : public FakeProxy {
 public:
  std::vector<proxy::TrafficRow> traffic() const override {
    std::vector<proxy::TrafficRow> rows;
    for (uint64_t i = 0; i < 1000; ++i) {
      proxy::TrafficRow row;
      row.database = i % 2 == 0 ? "shop" : "depot";
      row.user = i < 2 ? "" : "user" + std::to_string(i / 2);  // the first: of all whose pools are gone
      row.traffic.requests = i < 2 ? 1'000'000 : i;
      row.traffic.bytes_to_clients = 10;
      row.traffic.wait_us = 2'000;
      rows.push_back(row);
    }
    return rows;
  }
};

TEST(Metrics, UsersAreCountedWhateverTheirDatabasesAndTheirNumberIsBounded) {
  const std::string text = metrics_of(ManyUsers(), {}, true);
  for (const char* name : {"logins", "requests", "transactions", "client_receive_bytes", "client_transmit_bytes",
                           "transaction_seconds", "server_wait_seconds"}) {
    EXPECT_EQ(lines_with(text, "pgbalancer_user_" + std::string(name) + "_total{"), 100u) << name;
  }
  EXPECT_EQ(lines_with(text, "pgbalancer_user_requests_total{user=\"user499\"} 1997"), 1u) << "998 + 999";
  EXPECT_EQ(lines_with(text, "pgbalancer_user_client_transmit_bytes_total{user=\"user499\"} 20"), 1u);
  EXPECT_EQ(lines_with(text, "pgbalancer_user_server_wait_seconds_total{user=\"user499\"} 0.004"), 1u);
  // Of 499 users and those that are gone, 99 and those have their own; 2 + 3 + … + 801 are the 400 others.
  EXPECT_EQ(lines_with(text, "pgbalancer_user_requests_total{user=\"(other)\"} 2321200"), 1u) << text;
}

TEST(Metrics, TellWhatTheProxyTells) {
  const std::string text = metrics_of(FakeProxy(), {}, false);
  for (const char* line : {"pgbalancer_clients 3", "pgbalancer_node_up{node=\"primary1\"} 0",
                           "pgbalancer_node_primary{node=\"primary1\"} 0",
                           "pgbalancer_pool_servers{database=\"shop\",user=\"alice\",state=\"idle\"} 3",
                           "pgbalancer_pool_waiting_clients{database=\"shop\",user=\"alice\"} 2",
                           "pgbalancer_database_requests_total{database=\"shop\"} 120",
                           "pgbalancer_node_request_duration_seconds_bucket{node=\"primary1\",le=\"10.0\"} 1",
                           "pgbalancer_node_request_duration_seconds_count{node=\"primary1\"} 2",
                           "pgbalancer_routed_requests_total{node=\"primary1\",reason=\"it writes\"} 7",
                           "pgbalancer_routed_verdicts_total{node=\"primary1\",verdict=\"writes\"} 4",
                           "pgbalancer_user_requests_total{user=\"alice\"} 20",
                           "pgbalancer_user_requests_total{user=\"(other)\"} 100", "pgbalancer_paused_databases 1"}) {
    EXPECT_EQ(lines_with(text, line), 1u) << line << "\n" << text;
  }
  EXPECT_EQ(lines_with(text, "pgbalancer_build_info{version=\"" PGB_VERSION "\",openssl=\"3."), 1u) << text;
}

// One node that is up and was asked for its basics `age` ago.
class KnownServer final : public FakeProxy {
 public:
  explicit KnownServer(std::chrono::seconds age) {
    healthy = true;
    topology_ = std::make_shared<proxy::TopologySnapshot>(*FakeProxy::topology());
    const auto asked = std::chrono::steady_clock::now().time_since_epoch() - age;
    proxy::ServerBasics basics{
        "17.5", 1.7e9, 12, 100, {{"replica1", true, 4096}}, std::chrono::nanoseconds(asked).count()};
    topology_->nodes[0].gauge->basics.put(basics);
    topology_->nodes[0].timeline = 7;
  }
  proxy::TopologyPtr topology() const override { return topology_; }
  void lose() { topology_->nodes[0].healthy = false; }

 private:
  std::shared_ptr<proxy::TopologySnapshot> topology_;
};

constexpr const char* kOfServers[] = {"pgbalancer_node_postgres_info{node=\"primary1\",version=\"17.5\"} 1",
                                      "pgbalancer_node_postgres_connections{node=\"primary1\"} 12",
                                      "pgbalancer_node_postgres_max_connections{node=\"primary1\"} 100",
                                      "pgbalancer_node_postgres_start_time_seconds{node=\"primary1\"} 1700000000",
                                      "pgbalancer_node_slot_retained_bytes{node=\"primary1\",slot=\"replica1\"} 4096",
                                      "pgbalancer_node_slot_active{node=\"primary1\",slot=\"replica1\"} 1"};

TEST(Metrics, WhatAServerSaidLatelyIsTold) {
  const std::string text = metrics_of(KnownServer(std::chrono::seconds(3)), {}, true);
  for (const char* line : kOfServers) EXPECT_EQ(lines_with(text, line), 1u) << line << "\n" << text;
  EXPECT_EQ(lines_with(text, "pgbalancer_node_timeline{node=\"primary1\"} 7"), 1u);
}

TEST(Metrics, WhatIsOldIsLeftOut) {
  KnownServer gone(std::chrono::seconds(3));
  gone.lose();
  for (const std::string& text :
       {metrics_of(KnownServer(std::chrono::seconds(20)), {}, true), metrics_of(gone, {}, true)}) {
    for (const char* line : kOfServers) EXPECT_EQ(lines_with(text, line), 0u) << line << "\n" << text;
  }
  const std::string text = metrics_of(gone, {}, true);
  for (const char* name : {"pgbalancer_node_replication_lag_bytes{", "pgbalancer_node_replication_lag_seconds{",
                           "pgbalancer_node_timeline{", "pgbalancer_group_epoch "}) {
    EXPECT_EQ(lines_with(text, name), 0u) << name;
  }
}

TEST(Metrics, TellWhoLeadsAndHowOftenThatChanged) {
  LiveState::RoleNumbers roles;
  roles.counts.failovers = 3;
  roles.counts.switchovers = 2;
  roles.counts.primary_changes = 5;
  roles.counts.without_primary_s = 1.5;
  GroupRoles::Now now;
  now.leader = "primary1";
  now.epoch = 9;
  now.sync_members = {"replica1"};
  now.sync_required = 1;
  now.members.push_back({"primary1", "leading", "", std::nullopt, false, 11});
  roles.roles = now;
  FakeProxy proxy;
  proxy.healthy = true;
  const std::string text = metrics_of(proxy, roles, true);
  for (const char* line :
       {"pgbalancer_group_elections_total{kind=\"failover\"} 3",
        "pgbalancer_group_elections_total{kind=\"switchover\"} 2", "pgbalancer_primary_changes_total 5",
        "pgbalancer_without_primary_seconds_total 1.5", "pgbalancer_group_epoch 9",
        "pgbalancer_node_leader{node=\"primary1\"} 1", "pgbalancer_node_sync_member{node=\"primary1\"} 0",
        "pgbalancer_group_sync_required 1", "pgbalancer_node_timeline{node=\"primary1\"} 11",
        "pgbalancer_node_primary{node=\"primary1\"} 1", "pgbalancer_node_agent_up{node=\"primary1\"} 1"}) {
    EXPECT_EQ(lines_with(text, line), 1u) << line << "\n" << text;
  }
  roles.roles->members[0].age_s = GroupRoles::kSilent_s + 1;
  EXPECT_EQ(lines_with(metrics_of(proxy, roles, true), "pgbalancer_node_agent_up{node=\"primary1\"} 0"), 1u);
  roles.roles->members.clear();
  EXPECT_EQ(lines_with(metrics_of(proxy, roles, true), "pgbalancer_node_agent_up{node=\"primary1\"} 0"), 1u);
}

TEST(Metrics, AStoreThatDoesNotAnswerIsToldWhereThereIsOne) {
  LiveState::RoleNumbers roles;
  EXPECT_EQ(lines_with(metrics_of(FakeProxy(), roles, true), "pgbalancer_group_store_up"), 0u);
  for (const bool up : {false, true}) {
    roles.store_up = up;
    const std::string line = std::string("\npgbalancer_group_store_up ") + (up ? "1" : "0") + "\n";
    EXPECT_NE(metrics_of(FakeProxy(), roles, true).find(line), std::string::npos);
  }
}

}  // namespace
}  // namespace pgb::control
