#include "cli/watch.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "cli/keys.h"
#include "cli/status_view.h"
#include "cli/status_watch.h"

namespace pgb::cli {
namespace {

std::vector<int> keys_in(std::string bytes) {
  std::vector<int> out;
  while (auto key = take_key(bytes)) out.push_back(*key);
  return out;
}

TEST(Keys, AreOneEachHoweverManyBytesTheyHave) {
  EXPECT_EQ(keys_in("q\r\n"), (std::vector<int>{'q', '\n', '\n'}));
  EXPECT_EQ(keys_in("\x1b[Aq\x1bOB\x1b[5~\x1b[6~"), (std::vector<int>{kUp, 'q', kDown, kPageUp, kPageDown}));
  EXPECT_EQ(keys_in("\x1b[H\x1b[1~\x1b[F\x1bOP"), (std::vector<int>{kHome, kHome, kEnd, kF1}));
  EXPECT_EQ(keys_in("\x1b"), (std::vector<int>{kEscape}));
}

TEST(Keys, OfNoMeaningHereAreNoOthersEither) {
  EXPECT_EQ(keys_in("\x1b[1;5Aq"), (std::vector<int>{kOther, 'q'})) << "Ctrl-Up";
  EXPECT_EQ(keys_in("\x1bqe"), (std::vector<int>{kOther, 'e'})) << "Alt-q does not quit";
  EXPECT_EQ(keys_in("\x1b[200"), (std::vector<int>{kOther}));
  EXPECT_EQ(keys_in("\xC3\xA4q"), (std::vector<int>{kOther, kOther, 'q'}));
}

TEST(PageOf, KeepsTheKeysInSightOnALowTerminal) {
  int top = 0;
  EXPECT_EQ(page_of("a\nb\n", "keys", 10, top), "a\nb\n\nkeys");
  EXPECT_EQ(page_of("a\nb\nc\nd\n", "keys", 4, top), "a\nb\n\nkeys  2 more lines: PgDn");
  top = 1;
  EXPECT_EQ(page_of("a\nb\nc\nd\n", "keys", 4, top), "b\nc\n\nkeys  1 more line: PgDn");
  top = 99;
  EXPECT_EQ(page_of("a\nb\nc\nd\n", "keys", 4, top), "c\nd\n\nkeys  PgUp");
  EXPECT_EQ(top, 2);
  top = -5;
  EXPECT_EQ(page_of("a\nb\n", "keys", 2, top), "a\nkeys  1 more line: PgDn");
  EXPECT_EQ(page_of("a\nb\n", "keys", 1, top), "a\n");
}

TEST(Cut, CountsColumnsAndKeepsColours) {
  EXPECT_EQ(cut("abcdef", 4), "abcd");
  EXPECT_EQ(cut("äöü", 2), "äö");
  EXPECT_EQ(cut("ab\x1b[31mcd\x1b[0mef", 3), "ab\x1b[31mc\x1b[0m");
  EXPECT_EQ(cut("ab\x1b[3", 2), "ab\x1b[3");
}

class StatusWatchTest : public ::testing::Test {
 protected:
  StatusWatchTest() {
    cluster::BalancerStatus balancer;
    balancer.name = "lb1";
    for (const char* name : {"primary1", "replica1"}) {
      cluster::NodeStatus node;
      node.name = name;
      node.role = "replica";
      node.state = "down";
      node.reason = "its server ended";
      balancer.nodes.push_back(node);
    }
    document_.time = "2026-01-01T14:02:11.000Z";
    document_.balancers = {balancer};
  }

  std::string shown() {
    const auto text = watch_.make();
    return text.ok() ? *text : text.error().message;
  }

  cluster::StatusDocument document_;
  int asked_ = 0;
  cluster::Session session_;
  StatusWatch watch_{session_,
                     [this]() -> Result<cluster::StatusDocument> {
                       ++asked_;
                       return document_;
                     },
                     [](const cluster::StatusDocument& document, bool wide, const std::string& chosen) {
                       return render_status(document, Terminal(), wide, chosen);
                     },
                     false};
};

TEST_F(StatusWatchTest, PointsAtTheServerThatTheArrowsChoose) {
  EXPECT_EQ(shown().find("> "), std::string::npos);
  for (const auto& [key, chosen] : std::vector<std::pair<int, std::string>>{
           {kDown, "primary1"}, {kDown, "replica1"}, {kDown, "replica1"}, {kUp, "primary1"}, {kUp, "primary1"}}) {
    EXPECT_TRUE(watch_.obey(key));
    EXPECT_NE(shown().find("\n> " + chosen), std::string::npos) << shown();
  }
  watch_.obey('w');
  EXPECT_NE(shown().find("\n> primary1"), std::string::npos) << shown();
}

TEST_F(StatusWatchTest, AsksNobodyWhileItIsPausedAndSaysSo) {
  shown();
  watch_.obey('p');
  document_.time = "2026-01-01T15:00:00.000Z";
  const std::string held = shown();
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(held.find("paused: this is as of 2026-01-01T14:02:11Z"), 0u) << held;
  EXPECT_NE(watch_.keys().find("p goes on"), std::string::npos);
  watch_.obey('w');  // of what is known
  EXPECT_NE(shown().find("REPLAY LSN"), std::string::npos);
  EXPECT_EQ(asked_, 1);
  watch_.obey('p');
  EXPECT_NE(shown().find("15:00:00"), std::string::npos);
  EXPECT_EQ(asked_, 2);
}

TEST_F(StatusWatchTest, SaysWhyAServerIsAsItIs) {
  shown();
  watch_.obey(kDown);
  watch_.obey(kDown);
  watch_.obey('\n');
  EXPECT_NE(shown().find("replica1 is replica, down: its server ended."), std::string::npos) << shown();
  EXPECT_EQ(shown().find("NODE"), std::string::npos);
  document_.balancers[0].nodes.pop_back();
  EXPECT_NE(shown().find("no server replica1 any more"), std::string::npos) << shown();
  watch_.obey(kEscape);
  EXPECT_NE(shown().find("NODE"), std::string::npos) << shown();
}

TEST_F(StatusWatchTest, HasNoOtherKeys) {
  for (const int key : {static_cast<int>('x'), static_cast<int>(kOther), static_cast<int>(kPageUp)}) {
    EXPECT_FALSE(watch_.obey(key)) << key;
  }
}

}  // namespace
}  // namespace pgb::cli
