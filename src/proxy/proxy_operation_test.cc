// The proxy as a whole while clients are there: too many of them, a server that is lost, health, a pause, a successor.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "proxy/health.h"
#include "proxy/proxy_for_tests.h"

namespace pgb::proxy {
namespace {

TEST_F(ProxyTest, AClientTooManyIsToldAndAPlaceThatIsFreedIsUsed) {
  Settings how = settings();
  how.pool.max_clients = 2;
  start(how, topology(postgres_->port()));
  auto one = client();
  auto two = client();
  ASSERT_TRUE(one) << one.error().message;
  ASSERT_TRUE(two) << two.error().message;
  const auto refused = psql("SELECT 1");
  EXPECT_NE(refused.err.find("too many clients"), std::string::npos) << refused.err;
  one->reset();
  EXPECT_TRUE(reaches([&] { return proxy_->stats().clients == 1; }));
  EXPECT_EQ(psql("SELECT 1").out, "1\n");
}

TEST_F(ProxyTest, TwoHundredClientsAtOnceAllGetTheirOwnAnswer) {
  Settings how = settings();
  how.pool.max_clients = 200;
  how.server_timeout = seconds(30);
  start(how, topology(postgres_->port()));
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::unique_ptr<pgclient::Connection>> connections;
      for (int i = 0; i < 25; ++i) {
        auto connection = client();
        if (!connection) {
          ADD_FAILURE() << connection.error().message;
          continue;
        }
        connections.push_back(std::move(*connection));
      }
      for (size_t i = 0; i < connections.size(); ++i) {
        const std::string number = std::to_string(t * 1000 + static_cast<int>(i));
        auto rows = connections[i]->query("SELECT " + number + " AS n", Deadline::after(seconds(10)));
        if (rows && (*rows)[0].get(0, "n") == number) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 200);
}

TEST_F(ProxyTest, WithoutAPrimaryTheErrorNamesTheNodeAndANewTopologyHelpsAtOnce) {
  Settings how = settings();
  how.server_timeout = milliseconds(300);
  start(how, topology(postgres_->port(), false));
  const auto refused = psql("SELECT 1");
  EXPECT_NE(refused.err.find("primary1"), std::string::npos) << refused.err;
  how.server_timeout = seconds(30);
  start(how, topology(postgres_->port(), false));
  std::thread later([&] {
    std::this_thread::sleep_for(milliseconds(200));  // the login waits by now; should it come later, it must work, too
    proxy_->apply(topology(postgres_->port()));
  });
  EXPECT_EQ(psql("SELECT 1").out, "1\n");
  later.join();
}

TEST_F(ProxyTest, ATransactionWhoseServerDiesIsRolledBackAndItsClientGoesOn) {
  start();
  auto connection = client();
  ASSERT_TRUE(connection);
  ASSERT_TRUE((*connection)->query("BEGIN", Deadline::after(seconds(5))));  // outside one, another server would do
  auto pid = (*connection)->query("SELECT pg_backend_pid() AS pid", Deadline::after(seconds(5)));
  ASSERT_TRUE(pid);
  const int backend = std::atoi((*pid)[0].get(0, "pid").c_str());
  ::kill(backend, SIGKILL);  // says nothing; the postmaster restarts all others
  auto lost = (*connection)->query("SELECT 1", Deadline::after(seconds(10)));
  ASSERT_FALSE(lost);
  std::string text = lost.error().message;
  for (const auto& [label, detail] : lost.error().details) text += " " + label + ": " + detail;
  EXPECT_NE(text.find("40001"), std::string::npos) << text;
  EXPECT_NE(text.find("primary1"), std::string::npos) << text;
  EXPECT_TRUE((*connection)->query("ROLLBACK", Deadline::after(seconds(5))));
  auto again = (*connection)->query("SELECT 7 AS n", Deadline::after(seconds(10)));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ((*again)[0].get(0, "n"), "7");
  EXPECT_EQ(proxy_->stats().clients, 1u);
}

TEST_F(ProxyTest, TheBellBringsAProbeLongBeforeItsTime) {
  HealthSettings how;
  how.user = "pgbalancer";
  how.password = Secret("balance");
  how.interval = seconds(600);
  auto first = std::make_shared<TopologySnapshot>(*topology(postgres_->port(), false));
  const std::shared_ptr<NodeGauge> gauge = first->nodes[0].gauge;
  HealthMonitor monitor(how, first, [](const TopologyPtr&) {});
  EXPECT_TRUE(reaches([&] { return gauge->caught_up_ns > 0; }));
  const int64_t now = std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  gauge->eject(now);
  how.bell->ring(now);
  EXPECT_TRUE(reaches([&] { return gauge->caught_up_ns > now && gauge->ejected_until_ns == 0; }));
}

TEST_F(ProxyTest, APauseHoldsNewWorkAndClosesServersUntilItEnds) {
  start();
  auto connection = client();
  ASSERT_TRUE(connection) << connection.error().message;
  const auto query = [&](const std::string& sql, int seconds_at_most = 10) {
    return (*connection)->query(sql, Deadline::after(seconds(seconds_at_most)));
  };
  ASSERT_TRUE(query("BEGIN"));
  Outcome outcome = *proxy_->pause("app", milliseconds(100));
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(outcome.busy, 1u) << outcome.text;
  ASSERT_TRUE(query("COMMIT")) << "what was begun may end";
  outcome = *proxy_->pause("app", seconds(5));
  EXPECT_TRUE(outcome.done) << outcome.text;
  EXPECT_TRUE(proxy_->servers().empty());
  std::atomic<bool> answered{false};
  std::thread waits([&] {
    const auto answer = query("SELECT 1");
    EXPECT_TRUE(answer) << answer.error().message;
    answered = true;
  });
  EXPECT_TRUE(reaches([&] {
    const auto clients = proxy_->clients();
    return clients.size() == 1 && clients[0].state == "paused";
  }));
  EXPECT_FALSE(answered);
  EXPECT_TRUE(proxy_->resume("app"));
  waits.join();
  EXPECT_TRUE(proxy_->pause("", milliseconds(0)));
  EXPECT_EQ(proxy_->resume("app").error().code, Code::kUsage);
  EXPECT_TRUE(proxy_->resume(""));
  EXPECT_TRUE(query("SELECT 1"));
}

TEST_F(ProxyTest, WhatIsOrderedWhileAnotherProcessTakesOverIsRefusedNotLost) {
  start();
  EXPECT_TRUE(proxy_->pause("app", milliseconds(0)));
  EXPECT_TRUE(proxy_->give_orders()->pauses("app"));
  for (const auto& refused : {proxy_->pause("", milliseconds(0)), proxy_->resume("app"), proxy_->undrain("primary1"),
                              proxy_->drain("primary1", std::nullopt, milliseconds(0))}) {
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::kBusy) << refused.error().message;
  }
  EXPECT_EQ(proxy_->orders()->paused_databases, std::set<std::string>{"app"});
  EXPECT_TRUE(proxy_->let_leave("", milliseconds(0))) << "this is no order";
  Orders theirs;
  theirs.drained = {"primary1"};
  proxy_->obey(theirs);
  EXPECT_FALSE(proxy_->orders()->pauses("app"));
  EXPECT_EQ(proxy_->orders()->drained, theirs.drained);
  proxy_->keep_orders();
  EXPECT_TRUE(proxy_->undrain("primary1"));
}

TEST_F(ProxyTest, WhoeverRanBeforeIsToldOfEachOrder) {
  start();
  EXPECT_TRUE(proxy_->pause("app", milliseconds(0)));
  std::vector<bool> told;
  proxy_->set_orders_elsewhere([&](const Orders& orders) { told.push_back(orders.pauses("app")); });
  EXPECT_TRUE(proxy_->resume("app"));
  EXPECT_TRUE(proxy_->pause("", milliseconds(0)));
  proxy_->set_orders_elsewhere(nullptr);
  EXPECT_TRUE(proxy_->resume(""));
  EXPECT_EQ(told, (std::vector<bool>{true, false, true}));
}

TEST_F(ProxyTest, WhoLeavesIsCalledQuietOnlyWhenNothingIsUnderWayHoweverOftenItAsks) {
  start();
  auto connection = client();
  ASSERT_TRUE(connection) << connection.error().message;
  const auto query = [&](const std::string& sql) { return (*connection)->query(sql, Deadline::after(seconds(10))); };
  ASSERT_TRUE(query("BEGIN"));
  EXPECT_FALSE(proxy_->let_leave("primary1", milliseconds(50)));
  EXPECT_FALSE(proxy_->let_leave("primary1", milliseconds(50))) << "the transaction is still open";
  ASSERT_TRUE(query("COMMIT"));
  EXPECT_TRUE(proxy_->let_leave("primary1", seconds(5)));
  EXPECT_TRUE(proxy_->let_leave("", milliseconds(0)));
  EXPECT_TRUE(query("SELECT 1"));
}

TEST_F(ProxyTest, AnotherProxyTakesOverItsSockets) {
  start();
  auto old_client = client();
  ASSERT_TRUE(old_client) << old_client.error().message;
  std::vector<os::UniqueFd> listeners;
  for (const int fd : proxy_->listeners()) listeners.emplace_back(::dup(fd));
  Settings how = settings();
  how.threads = 1;  // has to serve both sockets
  auto second = Proxy::start(how, topology(postgres_->port()), std::move(listeners));
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ((*second)->port(), proxy_->port());
  proxy_->accept(false);
  std::vector<std::thread> early;  // they connect while nobody takes them
  for (int i = 0; i < 8; ++i) {
    early.emplace_back([this] {
      const auto made = client();
      EXPECT_TRUE(made) << made.error().message;
    });
  }
  Orders orders;
  orders.drained = {"elsewhere"};
  (*second)->inherit(orders);
  EXPECT_EQ((*second)->orders()->drained.count("elsewhere"), 1u);
  (*second)->accept(true);
  proxy_->hand_over();
  for (std::thread& thread : early) thread.join();
  EXPECT_EQ(proxy_->stats().clients, 1u) << "the old one took none of them";

  EXPECT_TRUE((*old_client)->query("SELECT 1", Deadline::after(seconds(5))));
  (*second)->stop();
}

TEST_F(ProxyTest, HealthFollowsTheServerAndStopTellsTheClients) {
  HealthSettings how;
  how.user = "pgbalancer";
  how.password = Secret("balance");
  how.interval = milliseconds(50);
  auto first = std::make_shared<TopologySnapshot>(*topology(postgres_->port(), false));
  first->nodes[0].role = NodeRole::kUnknown;
  start(settings(), first);
  HealthMonitor monitor(how, first, [&](TopologyPtr now) { proxy_->apply(std::move(now)); });
  EXPECT_TRUE(reaches([&] { return proxy_->topology()->primary() != nullptr; }));
  postgres_->kill();
  EXPECT_TRUE(reaches([&] { return proxy_->topology()->primary() == nullptr; }));
  EXPECT_FALSE(proxy_->topology()->nodes[0].last_error.empty());
  const Status again = postgres_->start();
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_TRUE(reaches([&] { return proxy_->topology()->primary() != nullptr; }));
  auto connection = client();
  ASSERT_TRUE(connection) << connection.error().message;
  const auto before = std::chrono::steady_clock::now();
  proxy_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(1));
  auto told = (*connection)->query("SELECT 1", Deadline::after(seconds(5)));
  ASSERT_FALSE(told);
  EXPECT_NE(told.error().message.find("shutting down"), std::string::npos) << told.error().message;
}

}  // namespace
}  // namespace pgb::proxy
