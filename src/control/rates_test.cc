#include "control/rates.h"

#include <gtest/gtest.h>

#include "control/fake_proxy.h"

namespace pgb::control {
namespace {

using std::chrono::seconds;

TEST(Percentiles, LieWithinTheClassOfTheirRequest) {
  EXPECT_FALSE(percentiles_of({}));
  proxy::Latency latency;
  for (int i = 0; i < 98; ++i) latency.note(300);  // of the class from 0.25 to 0.5 ms
  latency.note(3'000);                             // from 2.5 to 5 ms
  latency.note(60'000'000);                        // above 10 s, without a bound
  const auto found = percentiles_of(latency);
  ASSERT_TRUE(found);
  EXPECT_NEAR(found->p50_ms, 0.25 + 0.25 * 50 / 98, 1e-9);
  EXPECT_LE(found->p95_ms, 0.5);
  EXPECT_EQ(found->p99_ms, 5);
  proxy::Latency slow;
  slow.note(60'000'000);
  EXPECT_EQ(percentiles_of(slow)->p50_ms, 10'000);
}

Look look(const Look& before, uint64_t more, seconds later) {
  Look now = before;
  now.at = before.at + later;
  now.traffic.transactions += more;
  now.traffic.requests += 2 * more;
  for (uint64_t i = 0; i < more; ++i) now.traffic.latency.note(300);
  now.requests[{"shop", "alice"}] += 2 * more;
  now.nodes["primary1"].requests += more;
  now.nodes["replica1"].requests += 3 * more;
  now.nodes["replica1"].reads += 3 * more;
  return now;
}

TEST(Rates, AreOfTheTimeBetweenTwoLooks) {
  const Look first = look({}, 1000, seconds(0));
  const Rates rates = rates_between(first, look(first, 30, seconds(3)));
  EXPECT_DOUBLE_EQ(rates.seconds, 3);
  EXPECT_DOUBLE_EQ(rates.transactions, 10);
  EXPECT_DOUBLE_EQ(rates.requests, 20);
  EXPECT_DOUBLE_EQ(rates.pools.at({"shop", "alice"}), 20);
  EXPECT_DOUBLE_EQ(rates.nodes.at("replica1").reads, 30);
  EXPECT_DOUBLE_EQ(rates.nodes.at("replica1").read_share, 1);
  EXPECT_DOUBLE_EQ(rates.nodes.at("primary1").read_share, 0);
  ASSERT_TRUE(rates.latency);
  EXPECT_LE(rates.latency->p99_ms, 0.5);
}

TEST(Rates, ANumberThatGoesBackIsNoGrowth) {
  const Look first = look({}, 1000, seconds(0));
  const Rates rates = rates_between(first, look({}, 10, seconds(0)));
  EXPECT_DOUBLE_EQ(rates.transactions, 0);
  EXPECT_FALSE(rates.latency);
}

TEST(Rates, AreNothingWithoutTime) {
  const Look first = look({}, 5, seconds(0));
  EXPECT_DOUBLE_EQ(rates_between(first, first).seconds, 0);
}

TEST(Look, CountsAsReadsWhatAReplicaMayAnswer) {
  class Routes : public FakeProxy {
   public:
    std::vector<proxy::RouteRow> routes() const override {
      return {{"a", "it only reads", 1},
              {"a", "it only reads, but no replica is healthy and up to date with what the session must see", 2},
              {"a", "a comment asks for a replica", 4},
              {"a", "the transaction is READ ONLY", 8},
              {"a", "it writes", 16},
              {"a", "a comment asks for the primary", 32}};
    }
  } proxy;
  proxy::Counted counted = proxy.counted();
  counted.at -= seconds(1);  // the numbers are of a second ago
  const Look found = look_at(counted);
  EXPECT_EQ(found.at, counted.at);
  EXPECT_EQ(found.nodes.at("a").requests, 63u);
  EXPECT_EQ(found.nodes.at("a").reads, 15u);
  EXPECT_EQ(found.traffic.requests, 120u);
}

}  // namespace
}  // namespace pgb::control
