#include "control/group_roles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <thread>

#include "control/fake_proxy.h"
#include "control/patroni_view.h"
#include "control/pcp_watchdog.h"
#include "control/rest_api.h"
#include "control/silent_stores.h"
#include "dcs/local_store.h"
#include "dcs/store_for_tests.h"

namespace pgb::control {
namespace {

using dcs::Compare;
using dcs::Op;
using std::chrono::milliseconds;
using std::chrono::seconds;

class GroupRolesTest : public ::testing::Test {
 protected:
  ~GroupRolesTest() override {
    roles_.use(nullptr);
    if (agent_.joinable()) agent_.join();
  }
  void put(const std::string& key, const std::string& value) {
    ASSERT_TRUE(store_->put(key, value, 0, Deadline::after(seconds(5))));
  }
  bool has(const std::string& key) {
    const auto found = store_->range({key, false}, Deadline::after(seconds(5)));
    return found && !found->kvs.empty();
  }
  // A group that node1 leads, and node2 follows.
  void found() {
    put(keys_.leader(), R"({"holder":"node1","epoch":3})");
    put(keys_.epoch(), R"({"epoch":3,"holder":"node1","timeline":4})");
    put(keys_.sync(), R"({"leader":"node1","epoch":3,"durability":"quorum","members":["node2","node3"],"required":1})");
    put(keys_.member("node1"), R"({"name":"node1","state":"leading","sentence":"it leads","timeline":4})");
    put(keys_.member("node2"),
        R"({"name":"node2","state":"following","sentence":"it follows","follows":"node1","timeline":4})");
    put(keys_.history_entry(2) + "-1-node1",
        R"({"time":"t1","node":"node1","action":"acquire","epoch":2,"text":"first"})");
    put(keys_.history_entry(3) + "-2-node1",
        R"({"time":"t2","node":"node1","action":"acquire","epoch":3,"text":"second"})");
    put("/pgbalancer/shop/other/leader", R"({"holder":"stranger","epoch":9})");
    roles_.use(store_);
  }
  // Does what an agent would once a request stands.
  void once_asked(std::function<void()> act) {
    agent_ = std::thread([this, act = std::move(act)] {
      const Deadline limit = Deadline::after(seconds(10));
      while (!has(keys_.failover()) && !limit.expired()) std::this_thread::sleep_for(milliseconds(5));
      act();
    });
  }
  void remove_request() {
    dcs::Txn txn;
    txn.then = {Op::remove({keys_.failover(), false})};
    ASSERT_TRUE(store_->txn(txn, Deadline::after(seconds(5))));
  }

  const std::shared_ptr<dcs::LocalStore> store_ = dcs::LocalStore::in_memory();
  const dcs::Keys keys_{"shop", "lb1"};
  GroupRoles roles_{"lb1"};
  std::thread agent_;
};

TEST_F(GroupRolesTest, WhereNoAgentsAreEverythingSaysSo) {
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(roles_.now().error().code, Code::kNotReady);
    EXPECT_EQ(roles_.history().error().code, Code::kNotReady);
    EXPECT_EQ(roles_.switchover("node2").error().code, Code::kNotReady);
    EXPECT_EQ(roles_.reinit("node2").error().code, Code::kNotReady);
    roles_.use(store_);  // that nobody has come to
  }
}

TEST_F(GroupRolesTest, TellsWhatStandsInTheStore) {
  found();
  put(keys_.failover(), R"({"kind":"switchover","node":"node2"})");
  const auto now = roles_.now();
  ASSERT_TRUE(now) << now.error().message;
  EXPECT_EQ(now->cluster, "shop");
  EXPECT_EQ(now->leader, "node1");
  EXPECT_EQ(now->epoch, 3u);
  EXPECT_EQ(now->durability, "quorum");
  EXPECT_EQ(now->sync_members, (std::vector<std::string>{"node2", "node3"}));
  EXPECT_EQ(now->request, "switchover to node2");
  EXPECT_FALSE(now->paused);
  ASSERT_EQ(now->members.size(), 2u);
  EXPECT_EQ(now->members[1].follows, "node1");
  const auto history = roles_.history();
  ASSERT_EQ(history->size(), 2u);
  EXPECT_EQ(history->back().text, "second");
}

TEST_F(GroupRolesTest, ASwitchoverIsAskedForAndWaitedFor) {
  found();
  once_asked([this] {
    put(keys_.leader(), R"({"holder":"node2","epoch":4})");
    put(keys_.history_entry(4) + "-3-node2", R"({"action":"acquire","text":"as asked"})");
    std::this_thread::sleep_for(milliseconds(50));
    put(keys_.sync(), R"({"leader":"node2","epoch":4})");
    remove_request();
  });
  const auto change = roles_.switchover("node2");
  ASSERT_TRUE(change) << change.error().message;
  EXPECT_EQ(change->from, "node1");
  EXPECT_EQ(change->to, "node2");
  EXPECT_EQ(change->epoch, 4u);
  EXPECT_EQ(change->sentence, "as asked");
  EXPECT_GE(change->seconds, 0.04) << "it takes writes only when its record stands";
  EXPECT_EQ(roles_.switchover("node2")->sentence, "node2 leads already");
}

TEST_F(GroupRolesTest, ARefusalHasTheLeadersReason) {
  found();
  once_asked([this] {
    put(keys_.history_entry(3) + "-3-node1", R"({"action":"request","text":"node9 is not there"})");
    remove_request();
  });
  const auto refused = roles_.switchover("node9");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kNotReady);
  EXPECT_EQ(refused.error().message, "node9 is not there");
}

TEST_F(GroupRolesTest, OneRequestAtATime) {
  found();
  ASSERT_TRUE(roles_.reinit("node2").ok());
  EXPECT_EQ(roles_.reinit("node2").error().code, Code::kBusy);
  EXPECT_EQ(roles_.switchover("node2").error().code, Code::kBusy);
  EXPECT_EQ(roles_.reinit("node1").error().code, Code::kIsPrimary);
}

TEST_F(GroupRolesTest, NobodyIsMadeAnewWhileThereIsNobodyToCopy) {
  put(keys_.member("node2"), R"({"name":"node2","state":"detached"})");
  roles_.use(store_);
  const Status refused = roles_.reinit("node2");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kNotReady);
  EXPECT_FALSE(roles_.now()->request) << "and no request stands in others' way";
}

TEST_F(GroupRolesTest, APauseStandsUntilTheLeaderEndsIt) {
  found();
  EXPECT_EQ(roles_.resume().value(), "it is not paused: agents watch over the primary");
  ASSERT_TRUE(roles_.pause());
  EXPECT_TRUE(roles_.now()->paused);
  EXPECT_EQ(roles_.pause().value(), "paused already");
  const auto history = *roles_.history();
  EXPECT_TRUE(std::any_of(history.begin(), history.end(), [](const auto& line) { return line.action == "pause"; }));
  once_asked([this] {
    EXPECT_EQ(roles_.now()->request, "resume");
    dcs::Txn txn;
    txn.then = {Op::remove({keys_.paused(), false}), Op::remove({keys_.failover(), false})};
    ASSERT_TRUE(store_->txn(txn, Deadline::after(seconds(5))));
  });
  const auto resumed = roles_.resume();
  ASSERT_TRUE(resumed) << resumed.error().message;
  EXPECT_NE(resumed->find("node1 leads"), std::string::npos);
  EXPECT_FALSE(roles_.now()->paused);
}

// Only the manager can look at every server.
TEST_F(GroupRolesTest, APauseWithoutALeaderIsNotEndedHere) {
  found();
  ASSERT_TRUE(roles_.pause());
  dcs::Txn txn;
  txn.then = {Op::remove({keys_.leader(), false})};
  ASSERT_TRUE(store_->txn(txn, Deadline::after(seconds(5))));
  EXPECT_EQ(roles_.resume().error().code, Code::kNotReady);
  EXPECT_TRUE(roles_.now()->paused);
  // Nor if the leader goes while it is waited for.
  put(keys_.leader(), R"({"holder":"node1","epoch":3})");
  once_asked([this, txn] { ASSERT_TRUE(store_->txn(txn, Deadline::after(seconds(5)))); });
  EXPECT_EQ(roles_.resume().error().code, Code::kNotReady);
  EXPECT_TRUE(roles_.now()->paused);
  EXPECT_FALSE(has(keys_.failover())) << "nobody is asked any more";
}

// It says so itself with the same code as a refusal: that is not yet a group that nobody leads.
TEST_F(GroupRolesTest, AStoreThatCannotTellIsNotAGroupWithoutALeader) {
  const auto shared = std::make_shared<dcs::StoreForTests>();
  dcs::StoreForTests& store = *shared;
  const auto put_there = [&](const std::string& key, const char* value) {
    ASSERT_TRUE(store.put(key, value, 0, Deadline::after(seconds(5))));
  };
  put_there(keys_.leader(), R"({"holder":"node1","epoch":3})");
  put_there(keys_.paused(), R"({"since":"t1","by":"alice"})");
  store.before = [&](int number) {  // 1: what there is, 2: the request, 3: a look, 4: no request any more, 5: a look
    dcs::Txn txn;
    txn.then = {Op::remove({keys_.failover(), false})};
    if (number == 3) {
      ASSERT_TRUE(store.inner().txn(txn, Deadline::after(seconds(5))));
    }
    if (number == 5) store.refuses = Error(Code::kNotReady, "the store has no leader");
  };
  GroupRoles roles("lb1", "shop");
  roles.use(shared);
  const auto resumed = roles.resume();
  roles.use(nullptr);
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().message, "the store has no leader");
  EXPECT_FALSE(resumed.error().details.empty()) << "what stands";
}

TEST_F(GroupRolesTest, TheNameOfTheClusterSaysWhichGroupOfThatNameIsMeant) {
  found();
  put(dcs::Keys("another", "lb1").leader(), R"({"holder":"stranger","epoch":9})");
  GroupRoles mine("lb1", "shop"), nobody("lb1", "nothing");
  mine.use(store_);
  nobody.use(store_);
  EXPECT_EQ(mine.now()->leader, "node1");
  EXPECT_EQ(mine.history()->size(), 2u);
  EXPECT_EQ(nobody.now().error().code, Code::kNotReady);
  mine.use(nullptr);
  nobody.use(nullptr);
}

TEST_F(GroupRolesTest, AStoreThatGoesAwayEndsTheWait) {
  found();
  once_asked([this] { roles_.use(nullptr); });
  const auto began = Deadline::Clock::now();
  EXPECT_EQ(roles_.switchover("node2").error().code, Code::kTimeout);
  EXPECT_LT(Deadline::Clock::now() - began, seconds(5));
  EXPECT_EQ(roles_.now().error().code, Code::kNotReady);
}

// The store lives as long as somebody asks it, and no longer.
TEST_F(GroupRolesTest, NobodyWaitsForAStoreThatDoesNotAnswer) {
  found();
  auto slow = std::make_shared<SlowStore>(*store_);
  SlowStore& known = *slow;
  const std::weak_ptr<SlowStore> alive = slow;
  GroupRoles roles("lb1", "shop");
  roles.use(std::move(slow));
  known.hold(true);
  std::thread asker([&] { EXPECT_EQ(roles.now()->leader, "node1"); });
  while (known.asked() == 0) std::this_thread::sleep_for(milliseconds(2));
  const auto began = Deadline::Clock::now();
  EXPECT_TRUE(roles.has_store());
  roles.use(nullptr);
  EXPECT_EQ(roles.now().error().code, Code::kNotReady);
  EXPECT_LT(Deadline::Clock::now() - began, seconds(1));
  EXPECT_FALSE(alive.expired());
  known.hold(false);
  asker.join();
  EXPECT_TRUE(alive.expired());
}

proxy::TopologySnapshot three_nodes() {
  proxy::TopologySnapshot topology;
  for (const char* name : {"node1", "node2", "node3"}) {
    const auto role = topology.nodes.empty() ? proxy::NodeRole::kPrimary : proxy::NodeRole::kReplica;
    topology.nodes.push_back({name, "10.0.0.1", 5432, role, true, ""});
  }
  return topology;
}

TEST_F(GroupRolesTest, PatronisWordsForTheGroup) {
  found();
  put(keys_.member("node2"),
      R"({"name":"node2","follows":"node1","streaming":true,"timeline":4,"history":[[1,0],[2,50]]})");
  put(keys_.member("node1"), R"({"name":"node1","timeline":4,"history":[[1,0],[2,50],[4,99]]})");
  proxy::TopologySnapshot topology = three_nodes();
  topology.nodes[1].gauge->behind_bytes = 77;
  topology.nodes[2].healthy = false;
  auto now = roles_.now();
  ASSERT_TRUE(now);
  auto cluster = patroni_cluster(topology, *now, "lb1");
  EXPECT_EQ(cluster["scope"], "shop");
  EXPECT_FALSE(cluster.contains("pause"));
  using Json = nlohmann::json;
  EXPECT_EQ(cluster["members"][0], (Json{{"name", "node1"},
                                         {"role", "leader"},
                                         {"state", "running"},
                                         {"host", "10.0.0.1"},
                                         {"port", 5432},
                                         {"timeline", 4}}));
  EXPECT_EQ(cluster["members"][1], (Json{{"name", "node2"},
                                         {"role", "quorum_standby"},
                                         {"state", "streaming"},
                                         {"host", "10.0.0.1"},
                                         {"port", 5432},
                                         {"timeline", 4},
                                         {"lag", 77}}));
  EXPECT_EQ(cluster["members"][2], (Json{{"name", "node3"},
                                         {"role", "replica"},
                                         {"state", "unknown"},
                                         {"host", "10.0.0.1"},
                                         {"port", 5432},
                                         {"lag", "unknown"}}));
  dcs::HistoryLine elected;
  elected.time = "2026-01-01T14:02:11.000Z";
  elected.node = "node1";
  elected.timeline = 4;
  dcs::HistoryLine again = elected;
  again.node = "node2";
  EXPECT_EQ(patroni_history(*now, {elected, again}), Json::parse(R"([[1,50,"a replica was promoted to timeline 2"],
                            [2,99,"a replica was promoted to timeline 4","2026-01-01T14:02:11.000Z","node1"]])"));
  put(keys_.sync(), R"({"leader":"node1","epoch":3,"durability":"quorum","members":["node2"],"required":1})");
  put(keys_.paused(), R"({"since":"t1","by":"alice"})");
  cluster = patroni_cluster(topology, *roles_.now(), "lb1");
  EXPECT_EQ(cluster["members"][1]["role"], "sync_standby") << "there is no other one that could have the commit";
  EXPECT_EQ(cluster["pause"], true);
  // Where no agents are, the servers say what they are.
  cluster = patroni_cluster(topology, std::nullopt, "lb1");
  EXPECT_EQ(cluster["scope"], "lb1");
  EXPECT_EQ(cluster["members"][0]["role"], "leader");
  EXPECT_EQ(cluster["members"][1]["role"], "replica");
  EXPECT_EQ(patroni_history(std::nullopt, {}), Json::array());
}

TEST_F(GroupRolesTest, WhoHasTheCommitsIsProbedAsOfPatroni) {
  class Three : public FakeProxy {
   public:
    proxy::TopologyPtr topology() const override { return std::make_shared<proxy::TopologySnapshot>(three_nodes()); }
  } proxy;
  const Actions actions{proxy, [] { return Status(); }, [](bool) {}, {}, &roles_};
  RestApi api({}, actions,
              {[] { return std::make_shared<const BalancerConfig>(); },
               [&](const std::string& user) { return proxy.secret_of(user, {}); }});
  const auto status = [&](const char* target) {
    http::Request request;
    request.target = target;
    return api.handle(request).status;
  };
  for (const char* path : {"/sync", "/synchronous", "/quorum", "/async", "/asynchronous"}) {
    EXPECT_EQ(status(path), 503) << "nobody knows: " << path;
  }
  found();
  for (const char* name : {"node2", "node3"}) {
    put(keys_.member(name), std::string(R"({"follows":"node1","streaming":true,"name":")") + name + "\"}");
  }
  const auto becomes = [&](const char* target, int wanted) {
    const Deadline limit = Deadline::after(seconds(20));
    while (status(target) != wanted && !limit.expired()) std::this_thread::sleep_for(milliseconds(20));
    return status(target) == wanted;
  };
  EXPECT_TRUE(becomes("/quorum?node=node2", 200));
  EXPECT_EQ(status("/quorum?node=node1"), 503) << "the leader is no replica";
  EXPECT_EQ(status("/sync"), 503) << "of two, one may lack a commit";
  EXPECT_EQ(status("/async"), 503);
  put(keys_.sync(), R"({"leader":"node1","epoch":3,"durability":"quorum","members":["node2"],"required":1})");
  EXPECT_TRUE(becomes("/sync", 200));
  EXPECT_EQ(status("/sync?node=node2"), 200);
  EXPECT_EQ(status("/quorum?node=node2"), 200);
  EXPECT_EQ(status("/sync?node=node3"), 503);
  EXPECT_EQ(status("/asynchronous?node=node3"), 200);
  EXPECT_EQ(status("/async?node=node2"), 503);
  put(keys_.member("node3"), R"({"name":"node3","streaming":false})");
  EXPECT_TRUE(becomes("/async", 503)) << "it does not stream";
  EXPECT_EQ(status("/sync?node=nine"), 404);
}

TEST_F(GroupRolesTest, PcpShowsTheAgentsAsWatchdogs) {
  found();
  proxy::TopologySnapshot topology;
  for (const char* name : {"node1", "node2", "node3"}) {
    topology.nodes.push_back({name, "10.0.0.1", 5432, proxy::NodeRole::kUnknown, true, ""});
  }
  const std::string text = pcp_watchdog_json(*roles_.now(), topology, -1);
  EXPECT_NE(text.find("\"LeaderNodeName\":\"node1\""), std::string::npos) << text;
  EXPECT_NE(text.find("\"NodeCount\":3"), std::string::npos) << text;
  EXPECT_NE(text.find("\"StateName\":\"LOST\""), std::string::npos) << "node3 says nothing";
  EXPECT_NE(pcp_watchdog_json(*roles_.now(), topology, 1).find("\"NodeCount\":1"), std::string::npos);
  GroupRoles::Now later = *roles_.now();
  EXPECT_NE(text.find("\"AliveNodeCount\":1"), std::string::npos) << text;
  later.members[1].age_s = GroupRoles::kSilent_s + 1;
  const std::string then = pcp_watchdog_json(later, topology, -1);
  EXPECT_NE(then.find("\"AliveNodeCount\":0"), std::string::npos) << then;
  EXPECT_EQ(then.find("STANDBY"), std::string::npos) << "node2 speaks no more: " << then;
}

}  // namespace
}  // namespace pgb::control
