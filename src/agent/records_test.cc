#include "agent/records.h"

#include <gtest/gtest.h>

namespace pgb::agent {
namespace {

TEST(Records, ANodeComesBackAsItWasPublished) {
  ha::NodeView node;
  node.name = "b";
  node.server = ha::Server::kStandby;
  node.system_id = "7000";
  node.flushed = ha::Position{3, 0x123456789a};
  node.history = {{1, 0}, {3, 500}};
  node.promised = 9;
  node.led = 4;
  node.following = ha::Following{"a", 9};
  node.streaming = true;
  node.trouble = ha::Trouble::kWalRemoved;
  node.failed_promotions = 2;
  node.free_disk = 12345;
  node.refused = {"c"};
  const auto back = parse_publication(to_json(Publication{node, "following", "b follows a", "for nobody"}));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->commits_wait, "for nobody");
  EXPECT_EQ(back->node, node);
  EXPECT_EQ(back->sentence, "b follows a");
  node.flushed.reset();
  node.was_at = ha::Position{3, 0x123456789a};
  node.following.reset();
  EXPECT_EQ(parse_publication(to_json(Publication{node, "", ""}))->node, node);
}

TEST(Records, RecordsHaveTheRevisionOfTheirKey) {
  const ha::SyncRecord sync{"a", 3, ha::Durability::kStrict, {{"b", "c"}, 1}, 77, {4, 107}};
  EXPECT_EQ(read_sync({"k", to_json(sync), 1, 77, 1, 0}), sync);
  const ha::LeaderKey leader{"a", 3, 11, 78};
  EXPECT_EQ(read_leader({"k", to_json(leader), 1, 78, 1, 11}), leader);
  const ha::EpochRecord epoch{3, "a", 5, 79, "7000"};
  EXPECT_EQ(read_epoch({"k", to_json(epoch), 1, 79, 1, 0}), epoch);
}

TEST(Records, WhatIsNotOursIsNoRecord) {
  for (const char* text : {"", "[]", "{}", "{\"holder\": 3}", "nonsense"}) {
    EXPECT_FALSE(read_leader({"k", text, 1, 1, 1, 0})) << text;
    EXPECT_FALSE(parse_publication(text)) << text;
    EXPECT_FALSE(read_sync({"k", text, 1, 1, 1, 0})) << text;
  }
}

TEST(Records, ARequestHasItsTime) {
  const auto request =
      read_request({"k", R"({"kind": "failover", "node": "b", "force": true, "seconds": 2.5})", 5, 9, 1, 0});
  ASSERT_TRUE(request);
  EXPECT_EQ(request->request.kind, ha::Request::Kind::kFailover);
  EXPECT_EQ(request->patience, ha::Duration(2500));
  EXPECT_EQ(request->request.id, 9U);
  EXPECT_TRUE(request->request.force);
}

TEST(Records, EveryKindOfRequestIsReadAsItWasWrittenAndNoOther) {
  using Kind = ha::Request::Kind;
  for (const Kind kind : {Kind::kSwitchover, Kind::kFailover, Kind::kReinit, Kind::kResume}) {
    ha::Request request;
    request.kind = kind;
    const auto read = read_request({"k", to_json(request, ha::Duration(1000)), 5, 9, 1, 0});
    ASSERT_TRUE(read);
    EXPECT_EQ(read->request.kind, kind);
  }
  EXPECT_FALSE(read_request({"k", R"({"kind": "of a later version", "node": ""})", 5, 9, 1, 0}));
}

}  // namespace
}  // namespace pgb::agent
