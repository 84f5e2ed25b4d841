#include "cluster/live.h"

#include <gtest/gtest.h>

namespace pgb::cluster {
namespace {

constexpr char kDocument[] = R"({"v":1,"time":"2026-01-01T14:02:11.000Z","age_s":0.25,"state":"healthy","sentence":"",
"ha":{"leader":"a","epoch":3,"durability":{"mode":"quorum","sentence":"Each commit is on a."}},
"clients":{"connected":2,"max":10,"waiting":1,"longest_wait_s":0.5,"refused_total":0},
"servers":{"in_use":1,"open":4,"pool_size":20},
"rates":{"transactions_per_s":5.5,"requests_per_s":7,"reads_per_s":2,"latency_ms":{"p50":1,"p95":2,"p99":3}},
"nodes":[{"name":"a","role":"primary","state":"up","reason":"","lag_s":null,"latency_ms":null,"requests_per_s":7,
"reads_per_s":2,"read_share":1,"busy":1,"servers":4}],
"pools":[{"database":"d","user":"u","requests_per_s":7,"longest_wait_s":0,"clients":2,"waiting":1,"active":1,"bound":0,
"idle":3}],
"events":[{"time":"2026-01-01T14:02:10.000Z","text":"second"},{"time":"2026-01-01T14:02:09.000Z","text":"first"}]})";

TEST(Live, ReadsWhatABalancerSays) {
  const auto group = parse_live(kDocument);
  ASSERT_TRUE(group.ok()) << group.error().message;
  EXPECT_EQ(group->epoch, 3u);
  EXPECT_EQ(group->age_s, 0.25);
  EXPECT_EQ(group->durability, "Each commit is on a.");
  EXPECT_EQ(group->transactions_per_s, 5.5);
  EXPECT_EQ(group->p99_ms, 3);
  EXPECT_EQ(group->nodes.at(0).lag_s, std::nullopt);
  EXPECT_EQ(group->pools.at(0).idle, 3u);
  ASSERT_EQ(group->events.size(), 2u);
  EXPECT_EQ(group->events[0].text, "first");  // they come in the order in which they were heard of
  EXPECT_EQ(group->document, kDocument);
}

TEST(Live, RefusesWhatIsNoSnapshot) {
  for (const char* text : {"", "[]", "{}", "<html>", R"({"time":1})"}) {
    const auto group = parse_live(text);
    ASSERT_FALSE(group.ok()) << text;
    EXPECT_EQ(group.error().code, Code::kProtocol);
  }
}

}  // namespace
}  // namespace pgb::cluster
