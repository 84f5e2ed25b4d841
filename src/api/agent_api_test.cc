#include "api/agent_api.h"

#include <gtest/gtest.h>

namespace pgb::api {
namespace {

TEST(AgentState, SurvivesItsJsonForm) {
  AgentState state;
  state.name = "replica1";
  state.role = "replica";
  state.phase = "copying";
  state.detail = "base backup from \"primary1\"";
  state.postmaster_pid = 12;
  state.answers = true;
  state.query_ms = 1.5;
  const auto again = parse_agent_state(to_json(state));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(to_json(*again), to_json(state));
}

TEST(AgentState, RefusesWhatIsNotAnAnswer) {
  for (const char* bad : {"", "[]", "{}", "{\"name\":1}", "{\"name\":"}) {
    const auto parsed = parse_agent_state(bad);
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_EQ(parsed.error().code, Code::kProtocol);
  }
}

TEST(AgentState, IsHealthyOnlyWhenTheServerAnswers) {
  AgentState state;
  state.phase = "running";
  EXPECT_FALSE(state.healthy());
  state.answers = true;
  EXPECT_TRUE(state.healthy());
  state.phase = "stopping";
  EXPECT_FALSE(state.healthy());
}

TEST(AgentApi, AnExplanationComesBackAsItWasSent) {
  Explanation sent;
  sent.node = "a";
  sent.store_reachable = sent.paused = true;
  sent.leader = "b";
  sent.epoch = 7;
  sent.summary = "b leads";
  sent.members = {{"a", true, "it may", "", 12, "following", "a follows b", 0.5},
                  {"c", false, "unheard", "all", {}, "", "", -1}};
  const auto got = parse_explanation(to_json(sent));
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_EQ(to_json(*got), to_json(sent));
  EXPECT_EQ(got->members[0].behind, 12U);
  EXPECT_FALSE(got->members[1].behind);
  EXPECT_EQ(parse_explanation("{}").error().code, Code::kProtocol);
  EXPECT_EQ(parse_explanation("[").error().code, Code::kProtocol);
}

}  // namespace
}  // namespace pgb::api
