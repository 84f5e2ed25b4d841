// The client against servers that fail: real etcd for what etcd does, a peer that says what it is told for the rest.
#include "dcs/etcd_client.h"

#include <atomic>

#include "dcs/embedded_store.h"
#include "dcs/etcd_for_tests.h"
#include "http/test_peers.h"

namespace pgb::dcs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

EtcdSettings at(std::vector<std::string> endpoints) {
  EtcdSettings settings;
  settings.endpoints = std::move(endpoints);
  return settings;
}

std::string url_of(uint16_t port) { return "http://127.0.0.1:" + std::to_string(port); }

class Etcd : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_etcd()) GTEST_SKIP() << "there is no etcd: install Debian's etcd-server (make deps-test)";
  }
};

TEST_F(Etcd, GoesOnWhenAMemberDiesAndTheLeaderMoves) {
  EtcdCluster cluster(3);
  auto store = client_of(cluster.settings());
  await_store(*store);
  const LeaseId lease = store->grant(seconds(10), within(20))->id;
  ASSERT_TRUE(store->put("/leader", "n1", lease, within(20)).ok());
  for (size_t i = 0; i < 3; ++i) {  // one after the other: the leader is among them, and so is who we talk to
    cluster.kill(i);
    auto kept = store->keep_alive(lease, within(8));
    EXPECT_TRUE(kept.ok()) << kept.error().message;
    auto read = store->range({"/leader", false}, within(8));
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->kvs.size(), 1u);
    cluster.start(i);
    await_store(*client_of(at({cluster.url(i)})));
  }
}

TEST_F(Etcd, AStoppedMemberIsPassedOver) {
  EtcdCluster cluster(3);
  auto store = client_of(cluster.settings());
  await_store(*store);
  const LeaseId lease = store->grant(seconds(10), within(20))->id;
  std::atomic<int> seen{0};
  EtcdSettings watching = cluster.settings();
  watching.watch_renewal = milliseconds(1000);
  Canceller canceller;
  std::thread watcher([&] {
    auto own = client_of(watching);
    (void)own
        ->watch("/k", 1, within(60), &canceller,
                [&](const Changes& changes) {
                  seen += static_cast<int>(changes.events.size());
                  return true;
                })
        .ok();
  });
  ASSERT_TRUE(store->put("/k", "0", 0, within(20)).ok());
  cluster.signal(0, SIGSTOP);  // the member that client and watch talk to
  auto kept = store->keep_alive(lease, within(8));
  EXPECT_TRUE(kept.ok()) << kept.error().message;
  int written = 1;
  const Deadline limit = within(20);
  while (written < 4 && !limit.expired()) written += store->put("/k", "n", 0, within(3)).ok() ? 1 : 0;
  while (seen < written && !limit.expired()) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_GE(seen, written);
  cluster.signal(0, SIGCONT);
  canceller.cancel();
  watcher.join();
}

TEST_F(Etcd, AMemberWithoutAMajorityRefusesAndTheClusterComesBack) {
  EtcdCluster cluster(3);
  auto store = client_of(cluster.settings());
  await_store(*store);
  ASSERT_TRUE(store->put("/k", "1", 0, within(20)).ok());
  cluster.kill(1);
  cluster.kill(2);
  const Deadline limit = within(20);
  Error error;
  while (error.message.empty() && !limit.expired()) {
    auto read = store->range({"/k", false}, within(2));
    if (!read.ok()) error = read.error();
  }
  ASSERT_FALSE(error.message.empty()) << "a member alone answered reads for 20 s";
  EXPECT_EQ(outcome_of(error), Outcome::kNotExecuted) << error.message;
  const Status watched = store->watch("/k", 0, within(2), nullptr, [](const Changes&) { return true; });
  EXPECT_FALSE(watched.ok()) << "a watch on a member without a leader passed for a good one";
  cluster.kill(0);
  auto write = store->put("/k", "2", 0, within(2));
  ASSERT_FALSE(write.ok());
  EXPECT_EQ(outcome_of(write.error()), Outcome::kNotExecuted) << write.error().message;
  for (size_t i = 0; i < 3; ++i) cluster.start(i);
  auto back = store->range({"/k", false}, within(30));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->kvs.at(0).value, "1");
}

TEST_F(Etcd, LogsInAndAgainWhenTheServerForgotItsToken) {
  EtcdCluster cluster(1);
  await_store(*client_of(cluster.settings()));
  want_password(cluster, {});
  auto nobody = client_of(cluster.settings())->range({"/k", false}, within(5));
  ASSERT_FALSE(nobody.ok());
  EXPECT_EQ(nobody.error().code, Code::kAuth) << nobody.error().message;
  EtcdSettings wrong = cluster.settings();
  wrong.user = "root";
  wrong.password = Secret("wrong-password");
  auto refused = client_of(wrong)->range({"/k", false}, within(5));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kAuth) << refused.error().message;
  EXPECT_EQ(refused.error().message.find("wrong-password"), std::string::npos);
  EtcdSettings right = wrong;
  right.password = Secret("sesame");
  auto store = client_of(right);
  ASSERT_TRUE(store->put("/k", "1", 0, within(5)).ok());
  cluster.kill(0);  // tokens are in its memory
  cluster.start(0);
  await_store(*client_of(right));
  auto put = store->put("/k", "2", 0, within(5));
  EXPECT_TRUE(put.ok()) << put.error().message;
}

TEST_F(Etcd, HasToBeVouchedForAndSeesOurCertificate) {
  const TestPki pki;
  EtcdCluster cluster(1, pki.server_arguments(), "https");
  EtcdSettings settings = cluster.settings();
  settings.tls = pki.client();
  auto store = client_of(settings);
  await_store(*store);
  EXPECT_TRUE(store->put("/k", "1", 0, within(5)).ok());
  EtcdSettings nobody = settings;
  nobody.tls.cert.clear();
  nobody.tls.key = Secret();
  EXPECT_FALSE(client_of(nobody)->range({"/k", false}, within(2)).ok());
  EtcdSettings strangers = settings;
  strangers.tls.ca = TestPki().client().ca;  // another authority of the same name
  EXPECT_FALSE(client_of(strangers)->range({"/k", false}, within(2)).ok());
  EtcdSettings broken = settings;
  broken.tls.key = Secret("no key");
  auto refused = client_of(broken)->range({"/k", false}, within(2));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("with our key"), std::string::npos) << refused.error().message;
}

TEST_F(Etcd, ACompactedWatchIsTold) {
  EtcdCluster cluster(1);
  auto store = client_of(cluster.settings());
  await_store(*store);
  Revision last = 0;
  for (int i = 0; i < 5; ++i) last = store->put("/k", std::to_string(i), 0, within(5)).value();
  EXPECT_EQ(posted(cluster.url(0), "/v3/kv/compaction", R"({"revision":")" + std::to_string(last) + "\"}").status, 200);
  const Status status = store->watch("/k", 2, within(5), nullptr, [](const Changes&) { return true; });
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kCompacted) << status.error().message;
}

TEST(EtcdClient, AWriteThatWasSentAndNotAnsweredIsInDoubtAndNotRepeated) {
  http::Canned silent({});
  auto good = http::serve([](const http::Request&) { return http::problem(500, "asked twice"); });
  EtcdSettings settings = at({url_of(silent.endpoint().port), url_of(good->port())});
  settings.attempt_limit = milliseconds(200);
  auto put = client_of(settings)->put("/k", "v", 0, within(10));
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.error().code, Code::kInDoubt) << put.error().message;
  EXPECT_EQ(outcome_of(put.error()), Outcome::kUnknown);
}

TEST(EtcdClient, ARefusedConnectionIsNoDoubtAndTheNextMemberIsAsked) {
  const uint16_t closed = free_port();
  std::atomic<int> asked{0};
  auto good = http::serve([&](const http::Request& request) {
    ++asked;
    http::Response response;
    response.body = request.target == "/v3/kv/put" ? R"({"header":{"revision":"7"}})" : "{}";
    return response;
  });
  auto put = client_of(at({url_of(closed), url_of(good->port())}))->put("/k", "v", 0, within(10));
  ASSERT_TRUE(put.ok()) << put.error().message;
  EXPECT_EQ(*put, 7);
  EXPECT_EQ(asked, 1);
  auto nobody = client_of(at({url_of(closed)}))->put("/k", "v", 0, Deadline::after(milliseconds(300)));
  ASSERT_FALSE(nobody.ok());
  EXPECT_EQ(nobody.error().code, Code::kUnreachable) << nobody.error().message;
}

TEST(EtcdClient, WhatIsNoAnswerOfEtcdIsNoSuccess) {
  for (const std::string& body :
       {std::string(), std::string("<html>"), std::string("[]"), std::string("{\"header\":[]")}) {
    auto odd = http::serve([&](const http::Request&) {
      http::Response response;
      response.body = body;
      return response;
    });
    EXPECT_FALSE(client_of(at({url_of(odd->port())}))->put("/k", "v", 0, Deadline::after(milliseconds(300))).ok())
        << body;
  }
}

TEST(EtcdClient, LogsInAgainAfterTheEmbeddedStoreWasRestarted) {
  os::TestDir dir;
  EmbeddedSettings settings;
  settings.directory = dir.path;
  settings.port = 0;
  settings.user = "agents";
  settings.password = Secret("sesame");
  auto embedded = EmbeddedStore::start(settings);
  ASSERT_TRUE(embedded.ok()) << embedded.error().message;
  settings.port = (*embedded)->port();
  EtcdSettings to = at({url_of(settings.port)});
  auto nobody = client_of(to)->range({"/k", false}, within(5));
  ASSERT_FALSE(nobody.ok());
  EXPECT_EQ(nobody.error().code, Code::kAuth) << nobody.error().message;
  to.user = "agents";
  to.password = Secret("sesame");
  auto store = client_of(to);
  ASSERT_TRUE(store->put("/k", "1", 0, within(5)).ok());
  embedded->reset();
  embedded = EmbeddedStore::start(settings);
  ASSERT_TRUE(embedded.ok()) << embedded.error().message;
  auto again = store->put("/k", "2", 0, within(5));
  EXPECT_TRUE(again.ok()) << again.error().message;
}

TEST(EtcdClient, AnAddressThatCannotBeUsedIsAMistakeInTheConfiguration) {
  EXPECT_FALSE(make_etcd_client({}).ok());
  auto client = make_etcd_client(at({"ftp://127.0.0.1"}));
  ASSERT_FALSE(client.ok());
  EXPECT_EQ(client.error().code, Code::kConfig);
}

}  // namespace
}  // namespace pgb::dcs
