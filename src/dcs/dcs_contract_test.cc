// What every store promises: held against memory, the embedded store through its JSON interface, and real etcd, alone
// and as a cluster of three.
#include <atomic>
#include <map>
#include <mutex>

#include "dcs/embedded_store.h"
#include "dcs/etcd_for_tests.h"
#include "dcs/keys.h"

namespace pgb::dcs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Time = std::chrono::steady_clock::time_point;

// A store, and as many clients of it as a test likes.
class Site {
 public:
  virtual ~Site() = default;
  virtual std::shared_ptr<Dcs> client() = 0;
};

class MemorySite : public Site {
 public:
  std::shared_ptr<Dcs> client() override { return store_; }

 private:
  std::shared_ptr<LocalStore> store_ = LocalStore::in_memory();
};

class EmbeddedSite : public Site {
 public:
  EmbeddedSite() {
    EmbeddedSettings settings;
    settings.directory = dir_.path + "/store";
    settings.port = 0;
    settings.user = "agents";
    settings.password = Secret("sesame");
    auto started = EmbeddedStore::start(settings);
    EXPECT_TRUE(started.ok()) << started.error().message;
    store_ = std::move(*started);
  }
  std::shared_ptr<Dcs> client() override {
    EtcdSettings settings;
    settings.endpoints = {"http://127.0.0.1:" + std::to_string(store_->port())};
    settings.user = "agents";
    settings.password = Secret("sesame");
    return client_of(settings);
  }

 private:
  os::TestDir dir_;
  std::unique_ptr<EmbeddedStore> store_;
};

class EtcdSite : public Site {
 public:
  explicit EtcdSite(size_t members) : cluster_(members) {}
  std::shared_ptr<Dcs> client() override { return client_of(cluster_.settings()); }

 private:
  EtcdCluster cluster_;
};

// With certificates of both sides and a password.
class GuardedEtcdSite : public Site {
 public:
  GuardedEtcdSite() {
    EtcdSettings open = cluster_.settings();
    open.tls = pki_.client();
    await_store(*client_of(open));
    want_password(cluster_, pki_.client());
  }
  std::shared_ptr<Dcs> client() override {
    EtcdSettings settings = cluster_.settings();
    settings.tls = pki_.client();
    settings.user = "root";
    settings.password = Secret("sesame");
    return client_of(settings);
  }

 private:
  TestPki pki_;
  EtcdCluster cluster_{1, pki_.server_arguments(), "https"};
};

enum class Kind { kMemory, kEmbedded, kEtcd, kEtcdOfThree, kGuardedEtcd };

class DcsContract : public ::testing::TestWithParam<Kind> {
 protected:
  // One site for all tests of a kind: each works below a key of its own.
  static Site* site_of(Kind kind) {
    static std::map<Kind, std::unique_ptr<Site>> sites;
    auto& site = sites[kind];
    if (!site) {
      if (kind == Kind::kMemory) site = std::make_unique<MemorySite>();
      if (kind == Kind::kEmbedded) site = std::make_unique<EmbeddedSite>();
      if (kind == Kind::kEtcd) site = std::make_unique<EtcdSite>(1);
      if (kind == Kind::kEtcdOfThree) site = std::make_unique<EtcdSite>(3);
      if (kind == Kind::kGuardedEtcd) site = std::make_unique<GuardedEtcdSite>();
    }
    return site.get();
  }
  void SetUp() override {
    const bool real = GetParam() != Kind::kMemory && GetParam() != Kind::kEmbedded;
    if (real && !has_etcd()) GTEST_SKIP() << "there is no etcd: install Debian's etcd-server (make deps-test)";
    site_ = site_of(GetParam());
    store_ = site_->client();
    await_store(*store_);
    static std::atomic<int> number{0};
    root_ = "/test" + std::to_string(++number) + "/";
  }
  std::string key(const std::string& name) const { return root_ + name; }

  LeaseId grant(int ttl) {
    auto lease = store_->grant(seconds(ttl), within(10));
    EXPECT_TRUE(lease.ok()) << lease.error().message;
    return lease.ok() ? lease->id : 0;
  }
  Revision put(const std::string& name, const std::string& value, LeaseId lease = 0) {
    auto revision = store_->put(key(name), value, lease, within(10));
    EXPECT_TRUE(revision.ok()) << revision.error().message;
    return revision.ok() ? *revision : 0;
  }
  std::vector<KeyValue> all() {
    auto found = store_->range({root_, true}, within(10));
    EXPECT_TRUE(found.ok()) << found.error().message;
    return found.ok() ? found->kvs : std::vector<KeyValue>();
  }

  Site* site_ = nullptr;
  std::shared_ptr<Dcs> store_;
  std::string root_;
};

TEST_P(DcsContract, APutIsReadBackWithItsRevisions) {
  const std::string bytes("\0\xff{\"}\n", 7);
  const Revision first = put("a", "1");
  const Revision second = put("a", bytes);
  put("b", "");
  const auto kvs = all();
  ASSERT_EQ(kvs.size(), 2u);
  EXPECT_EQ(kvs[0], (KeyValue{key("a"), bytes, first, second, 2, 0}));
  EXPECT_EQ(kvs[1].key, key("b"));
  EXPECT_GT(second, first);
  auto one = store_->range({key("a"), false}, within(10));
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->kvs.size(), 1u);
  EXPECT_GE(one->revision, second);
  auto none = store_->range({key("absent"), false}, within(10));
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->kvs.empty());
}

TEST_P(DcsContract, ATransactionDoesOneOfItsLists) {
  put("a", "1");
  const KeyValue before = all().at(0);
  Txn txn{{Compare::unchanged(before), Compare::absent(key("b"))},
          {Op::put(key("a"), "2"), Op::put(key("b"), "2"), Op::get({root_, true})},
          {Op::get({key("a"), false})}};
  auto done = store_->txn(txn, within(10));
  ASSERT_TRUE(done.ok()) << done.error().message;
  EXPECT_TRUE(done->succeeded);
  ASSERT_EQ(done->results.size(), 3u);
  EXPECT_EQ(done->results[2].kvs.size(), 2u);
  EXPECT_EQ(all().at(0).mod_revision, done->revision);
  EXPECT_EQ(all().at(1).mod_revision, done->revision);
  auto again = store_->txn(txn, within(10));
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_FALSE(again->succeeded);
  ASSERT_EQ(again->results.size(), 1u);
  EXPECT_EQ(again->results[0].kvs.at(0).value, "2");
  auto removed = store_->txn({{}, {Op::remove({root_, true})}, {}}, within(10));
  ASSERT_TRUE(removed.ok()) << removed.error().message;
  EXPECT_EQ(removed->results.at(0).deleted, 2);
  EXPECT_TRUE(all().empty());
}

TEST_P(DcsContract, EveryComparisonIsTrueWhereItShouldBe) {
  const LeaseId lease = grant(60);
  put("a", "m", lease);
  const KeyValue kv = all().at(0);
  using F = Compare::Field;
  using R = Compare::Relation;
  const auto holds = [&](Compare compare) {
    auto done = store_->txn({{std::move(compare)}, {}, {}}, within(10));
    EXPECT_TRUE(done.ok()) << done.error().message;
    return done.ok() && done->succeeded;
  };
  for (const auto& [field, number] : {std::pair{F::kCreateRevision, kv.create_revision},
                                      {F::kModRevision, kv.mod_revision},
                                      {F::kVersion, kv.version},
                                      {F::kLease, kv.lease}}) {
    EXPECT_TRUE(holds({kv.key, field, R::kEqual, number, {}}));
    EXPECT_FALSE(holds({kv.key, field, R::kNotEqual, number, {}}));
    EXPECT_TRUE(holds({kv.key, field, R::kLess, number + 1, {}}));
    EXPECT_FALSE(holds({kv.key, field, R::kGreater, number, {}}));
    EXPECT_TRUE(holds({key("absent"), field, R::kEqual, 0, {}}));
  }
  EXPECT_TRUE(holds({kv.key, F::kValue, R::kEqual, 0, "m"}));
  EXPECT_TRUE(holds({kv.key, F::kValue, R::kLess, 0, "n"}));
  EXPECT_TRUE(holds({kv.key, F::kValue, R::kGreater, 0, "l"}));
  EXPECT_FALSE(holds({key("absent"), F::kValue, R::kEqual, 0, ""}));
}

TEST_P(DcsContract, WhatItDoesNotTakeIsRefused) {
  auto twice = store_->txn({{}, {Op::put(key("a"), "1"), Op::put(key("a"), "2")}, {}}, within(10));
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(outcome_of(twice.error()), Outcome::kRefused) << twice.error().message;
  auto homeless = store_->put(key("a"), "1", 424242, within(10));
  ASSERT_FALSE(homeless.ok());
  EXPECT_EQ(homeless.error().code, Code::kNotFound) << homeless.error().message;
  EXPECT_TRUE(all().empty());
}

TEST_P(DcsContract, OfManyWhoWantTheLeadExactlyOneGetsIt) {
  const Keys keys("c" + root_.substr(1, root_.size() - 2), "main");
  for (int round = 0; round < 5; ++round) {
    std::atomic<int> winners{0};
    std::atomic<int> answers{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 12; ++i) {
      threads.emplace_back([&, i] {
        auto own = site_->client();
        auto done = own->txn({{Compare::absent(keys.leader())},
                              {Op::put(keys.leader(), std::to_string(i)), Op::put(keys.epoch(), std::to_string(round))},
                              {Op::get({keys.leader(), false})}},
                             within(20));
        if (!done.ok()) return;
        ++answers;
        if (done->succeeded) ++winners;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(answers, 12);
    EXPECT_EQ(winners, 1);
    ASSERT_TRUE(store_->txn({{}, {Op::remove({keys.leader(), false})}, {}}, within(10)).ok());
  }
}

TEST_P(DcsContract, CountingByCompareAndSetLosesNothing) {
  put("n", "0");
  constexpr int kThreads = 4, kEach = 10;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      auto own = site_->client();
      for (int done = 0; done < kEach;) {
        auto now = own->range({key("n"), false}, within(20));
        if (!now.ok()) return;
        const KeyValue& kv = now->kvs.at(0);
        auto set = own->txn({{Compare::unchanged(kv)}, {Op::put(kv.key, std::to_string(std::stoi(kv.value) + 1))}, {}},
                            within(20));
        if (!set.ok()) return;
        if (set->succeeded) ++done;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(all().at(0).value, std::to_string(kThreads * kEach));
}

TEST_P(DcsContract, ALeaseTakesItsKeysAlongWhenItRunsOutAndNotBefore) {
  const Time before = std::chrono::steady_clock::now();
  auto lease = store_->grant(seconds(2), within(10));
  ASSERT_TRUE(lease.ok()) << lease.error().message;
  put("leader", "n1", lease->id);
  const Revision from = put("stays", "x") + 1;
  Time gone;
  const Status watched = store_->watch(root_, from, within(20), nullptr, [&](const Changes& changes) {
    gone = std::chrono::steady_clock::now();
    EXPECT_EQ(changes.events.at(0).kind, Event::Kind::kDelete);
    EXPECT_EQ(changes.events.at(0).kv.key, key("leader"));
    return false;
  });
  ASSERT_TRUE(watched.ok()) << watched.error().message;
  EXPECT_GE(gone - before, lease->ttl);
  EXPECT_LE(gone - before, lease->ttl + seconds(3));
  EXPECT_EQ(all().size(), 1u);
  auto late = store_->keep_alive(lease->id, within(10));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, Code::kNotFound) << late.error().message;
  EXPECT_FALSE(store_->time_to_live(lease->id, within(10)).ok());
}

TEST_P(DcsContract, AKeptLeaseLivesAndIsKnownWithItsKeys) {
  auto lease = store_->grant(seconds(2), within(10));
  ASSERT_TRUE(lease.ok());
  put("leader", "n1", lease->id);
  const Deadline until = Deadline::after(lease->ttl + seconds(1));
  while (!until.expired()) {
    auto kept = store_->keep_alive(lease->id, within(10));
    ASSERT_TRUE(kept.ok()) << kept.error().message;
    EXPECT_EQ(*kept, lease->ttl);
    std::this_thread::sleep_for(milliseconds(300));
  }
  EXPECT_EQ(all().size(), 1u);
  auto info = store_->time_to_live(lease->id, within(10));
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->granted, lease->ttl);
  EXPECT_LE(info->remaining, lease->ttl);
  EXPECT_EQ(info->keys, std::vector<std::string>{key("leader")});
}

TEST_P(DcsContract, RevokingALeaseRemovesItsKeysAndTellsWatchers) {
  const LeaseId lease = grant(60);
  const Revision from = put("member", "n1", lease) + 1;
  std::vector<Event> seen;
  std::thread watcher([&] {
    auto own = site_->client();
    EXPECT_TRUE(own->watch(root_, from, within(20), nullptr,
                           [&](const Changes& changes) {
                             seen = changes.events;
                             return false;
                           })
                    .ok());
  });
  const Status revoked = store_->revoke(lease, within(10));
  ASSERT_TRUE(revoked.ok()) << revoked.error().message;
  watcher.join();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].kind, Event::Kind::kDelete);
  EXPECT_EQ(seen[0].kv.key, key("member"));
  EXPECT_TRUE(all().empty());
  const Status again = store_->revoke(lease, within(10));
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, Code::kNotFound);
}

TEST_P(DcsContract, AWatchMissesNothingHoweverOftenItIsTakenUpAgain) {
  constexpr int kPuts = 60;
  const Revision start = put("n", "start");
  std::thread writer([&] {
    auto own = site_->client();
    for (int i = 0; i < kPuts; ++i) EXPECT_TRUE(own->put(key("n"), std::to_string(i), 0, within(20)).ok());
  });
  Revision from = start + 1;
  int next = 0;
  const Deadline limit = within(60);
  while (next < kPuts && !limit.expired()) {
    // Each call takes up to seven changes and ends: what came with them and was not looked at comes again.
    int taken = 0;
    const Status status = store_->watch(root_, from, limit, nullptr, [&](const Changes& changes) {
      for (const Event& event : changes.events) EXPECT_EQ(event.kv.value, std::to_string(next++));
      from = changes.revision + 1;
      return ++taken < 7 && next < kPuts;
    });
    ASSERT_TRUE(status.ok()) << status.error().message;
  }
  writer.join();
  EXPECT_EQ(next, kPuts);
}

TEST_P(DcsContract, AWatchSeesItsPrefixOnlyAndWholeRevisions) {
  const Revision from = put("a", "0") + 1;
  ASSERT_TRUE(store_->put(root_.substr(0, root_.size() - 1) + "x", "not below", 0, within(10)).ok());
  auto done = store_->txn({{}, {Op::put(key("a"), "1"), Op::put(key("b"), "1")}, {}}, within(10));
  ASSERT_TRUE(done.ok());
  Changes seen;
  ASSERT_TRUE(store_
                  ->watch(root_, from, within(10), nullptr,
                          [&](const Changes& changes) {
                            seen = changes;
                            return false;
                          })
                  .ok());
  EXPECT_EQ(seen.events.size(), 2u);
  EXPECT_GE(seen.revision, done->revision);
}

TEST_P(DcsContract, AWatchEndsAtItsDeadlineAndWhenItIsCancelled) {
  const auto nothing = [](const Changes&) { return true; };
  const Time before = std::chrono::steady_clock::now();
  const Status over = store_->watch(root_, 0, Deadline::after(milliseconds(600)), nullptr, nothing);
  EXPECT_TRUE(over.ok()) << over.error().message;
  EXPECT_GE(std::chrono::steady_clock::now() - before, milliseconds(600));
  Canceller canceller;
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(200));
    canceller.cancel();
  });
  const Status cancelled = store_->watch(root_, 0, within(30), &canceller, nothing);
  other.join();
  ASSERT_FALSE(cancelled.ok());
  EXPECT_EQ(cancelled.error().code, Code::kInterrupted) << cancelled.error().message;
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(10));
}

std::string name_of(const ::testing::TestParamInfo<Kind>& info) {
  constexpr const char* kNames[] = {"Memory", "Embedded", "Etcd", "EtcdOfThree", "GuardedEtcd"};
  return kNames[static_cast<int>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Stores, DcsContract,
                         ::testing::Values(Kind::kMemory, Kind::kEmbedded, Kind::kEtcd, Kind::kEtcdOfThree,
                                           Kind::kGuardedEtcd),
                         name_of);

}  // namespace
}  // namespace pgb::dcs
