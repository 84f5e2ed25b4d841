#include "cli/top_view.h"

#include <gtest/gtest.h>

#include <sstream>

namespace pgb::cli {
namespace {

cluster::LiveGroup group() {
  cluster::LiveGroup group;
  group.balancer = "lb1";
  group.time = "2026-01-01T14:02:11.000Z";
  group.state = "degraded";
  group.sentence = "Writes go on. replica1 is down: " + std::string(200, 'x') + "\x1b[2J";
  group.epoch = 7;
  group.transactions_per_s = 123456;
  group.requests_per_s = 234567;
  group.p50_ms = 0.4;
  group.p95_ms = 9999;
  group.p99_ms = 12345;
  group.waiting = 3;
  group.nodes = {{"primary1", "primary", "up", "", std::nullopt, 0.5, 100, 0, 0, 5, 20},
                 {std::string(63, 'r'), "replica", "down", "refused", 0.2, std::nullopt, 300, 300, 0.25, 0, 0},
                 {"replica2", "replica", "up", "", 9.5, 1.0, 200, 200, 0.75, 12, 99}};
  group.pools = {{std::string(63, 'd'), "alice", 12.5, 0, 40, 3, 9, 1, 4}};
  group.events = {{"2026-01-01T14:02:00.000Z", "replica1 is down"}};
  return group;
}

std::string shown(const TopChoice& choice = {}, const Terminal& terminal = {}) {
  return render_top({group()}, terminal, choice);
}

TEST(TopView, FitsEightyColumnsWhateverTheNamesAre) {
  for (const Terminal& terminal : {Terminal{false, false, false, 80}, Terminal{true, true, true, 80}}) {
    const std::string text = shown({}, terminal);
    EXPECT_EQ(text.find("\x1b[2J"), std::string::npos);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(columns(line), 80u) << line;
  }
}

TEST(TopView, TellsWhatThereIs) {
  const std::string text = shown();
  for (const char* part : {"epoch 7", "14:02:11 UTC", "123456 transactions/s", "p50 0.4 ms", "3 wait", "5/20",
                           "9500 ms", "75%", "alice", "14:02:00  replica1 is down"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is missing in\n" << text;
  }
}

TEST(TopView, CallsNothingUpThatIsOld) {
  cluster::LiveGroup old = group();
  old.age_s = 2.9;
  EXPECT_NE(render_top({old}, {}, {}).find(" up "), std::string::npos);
  old.age_s = 3.1;
  const std::string text = render_top({old}, {}, {});
  EXPECT_EQ(text.find(" up "), std::string::npos) << text;
  EXPECT_EQ(text.find("down "), std::string::npos) << text;
  EXPECT_NE(text.find("has not looked at the group for 3 s"), std::string::npos) << text;
}

TEST(TopView, SortsByWhatIsAskedFor) {
  const auto first = [](const std::string& text) {
    const size_t primary = text.find("primary1"), slow = text.find("replica2"), busy = text.find("rrrr");
    return primary < slow && primary < busy ? "primary1" : slow < busy ? "replica2" : "rrrr";
  };
  EXPECT_STREQ(first(shown()), "primary1");
  EXPECT_STREQ(first(shown({TopChoice::Order::kLoad, false, false})), "rrrr");
  EXPECT_STREQ(first(shown({TopChoice::Order::kLag, false, false})), "replica2");
  EXPECT_EQ(shown({TopChoice::Order::kLoad, false, false}).find("alice"), std::string::npos);
}

TEST(TopView, SaysWhichBalancerDoesNotAnswer) {
  cluster::LiveGroup silent;
  silent.balancer = "lb2";
  silent.error = "connection refused";
  const std::string text = render_top({group(), silent}, {}, {});
  EXPECT_NE(text.find("lb2"), std::string::npos);
  EXPECT_NE(text.find("no data"), std::string::npos);
  EXPECT_NE(text.find("connection refused"), std::string::npos);
}

}  // namespace
}  // namespace pgb::cli
