#include "cluster/wait.h"

#include <gtest/gtest.h>

#include "http/server.h"
#include "model/topology_json.h"
#include "runtime/fake_runtime.h"

namespace pgb::cluster {
namespace {

// A replica whose balancer, and with it the lease store, does not run; it alone was asked for.
class WaitForOneTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto parsed = model::parse_cluster(R"({"cluster_name":"shop","bind_address":"127.0.0.1"})");
    ASSERT_TRUE(parsed.mistakes.empty());
    cluster_ = parsed.cluster;
    model::Balancer& group = cluster_.balancers.at(0);
    group.primary.port = 1;  // nobody answers
    for (model::Node& replica : group.replicas) replica.port = 1;
    state_.name = group.replicas.at(0).name;
    state_.role = "replica";
    auto agent = http::Server::start("127.0.0.1", 0, [this](const http::Request&) {
      http::Response response;
      if (next_) next_(state_);
      response.body = api::to_json(state_);
      return response;
    });
    ASSERT_TRUE(agent) << agent.error().message;
    agent_ = std::move(*agent);
    runtime::UnitSpec unit;
    unit.cluster = cluster_.cluster_name;
    unit.group = group.name;
    unit.name = state_.name;
    unit.ports = {{kAgentPort, agent_->port()}};
    session_.runtime = std::make_unique<runtime::FakeRuntime>();
    session_.wanted.cluster_name = cluster_.cluster_name;
    ASSERT_TRUE(session_.runtime->ensure(unit, Deadline::after(std::chrono::seconds(5))).ok());
  }
  Status wait(bool named = true, std::chrono::milliseconds patience = std::chrono::minutes(2)) {
    Waiting waiting{session_, cluster_, secrets_};
    waiting.named = named;
    waiting.patience = patience;
    const model::Balancer& group = cluster_.balancers.at(0);
    return wait_for_node(waiting, group, group.replicas.at(0));
  }

  Session session_;
  model::Cluster cluster_;
  Secrets secrets_;
  api::AgentState state_;                       // what its agent says
  std::function<void(api::AgentState&)> next_;  // what it says next; empty: the same
  std::unique_ptr<http::Server> agent_;
};

TEST_F(WaitForOneTest, WhatLacksOthersIsUp) {
  state_.phase = "waiting";
  state_.detail = "the lease store does not answer";
  const Status done = wait();
  EXPECT_TRUE(done.ok()) << done.error().message;
}

TEST_F(WaitForOneTest, WhatFailsForAReasonOfItsOwnIsAnError) {
  state_.phase = "failed";
  state_.detail = "the server does not start: its disk is full";
  const Status done = wait();
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, Code::kTool);
  EXPECT_NE(done.error().message.find("its disk is full"), std::string::npos) << done.error().message;
}

TEST_F(WaitForOneTest, WhatTriesTheSameForEverIsNotWaitedForForEver) {
  next_ = [](api::AgentState& state) {
    const bool tries = state.phase == "waiting";
    state.phase = tries ? "copying" : "waiting";
    state.detail = tries ? "base backup from primary1" : "the primary does not take us yet";
  };
  const auto began = Deadline::Clock::now();
  const Status done = wait(false, std::chrono::seconds(1));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, Code::kTimeout) << done.error().message;
  EXPECT_LT(Deadline::Clock::now() - began, std::chrono::seconds(10));
}

}  // namespace
}  // namespace pgb::cluster
