#include "cli/steps.h"

#include <gtest/gtest.h>

#include "cli/events_filter.h"
#include "cli/report.h"

namespace pgb::cli {
namespace {

using cluster::Event;
using std::chrono::seconds;

const Clock::time_point kStart = Clock::now();

Terminal wide_as(int width, int height = 24) {
  Terminal terminal;
  terminal.tty = true;
  terminal.utf8 = true;
  terminal.width = width;
  terminal.height = height;
  return terminal;
}

TEST(Steps, PlainLinesAreThoseOfTheManual) {
  Steps steps(kStart);
  EXPECT_EQ(steps.take({"primary1", Event::State::kRunning, "creating", 0}, kStart), "primary1: creating\n");
  EXPECT_EQ(steps.take({"primary1", Event::State::kOk, "accepting writes", 2.91}, kStart),
            "primary1: ok, accepting writes (2.9s)\n");
}

TEST(Steps, ANumberThatChangesIsNoNews) {
  Steps steps(kStart);
  steps.take({"r", Event::State::kRunning, "copying: 1 MB", 0}, kStart);
  EXPECT_EQ(steps.take({"r", Event::State::kRunning, "copying: 2 MB", 0}, kStart), "");
}

TEST(Steps, SaysEveryTenSecondsThatASlowStepGoesOn) {
  Steps steps(kStart);
  steps.take({"image", Event::State::kRunning, "pulling", 0}, kStart);
  EXPECT_EQ(steps.still(kStart + seconds(9)), "");
  EXPECT_EQ(steps.still(kStart + seconds(10)), "image: still pulling (10s)\n");
  EXPECT_EQ(steps.still(kStart + seconds(11)), "");
  steps.take({"image", Event::State::kOk, "", 12}, kStart + seconds(12));
  EXPECT_EQ(steps.still(kStart + seconds(60)), "");
}

TEST(Steps, EveryLineOfAFrameIsOneLineThatFits) {
  Steps steps(kStart);
  steps.take({std::string(63, 'n'), Event::State::kRunning, "ä\n\x1b[2J" + std::string(300, 'x'), 0}, kStart);
  steps.take({"lb1", Event::State::kFailed, "gone", 1}, kStart);
  for (int width : {40, 80, 120}) {
    const auto lines = steps.frame(wide_as(width), kStart + seconds(1000), true);
    ASSERT_EQ(lines.size(), 3u);
    for (const std::string& line : lines) {
      EXPECT_LT(columns(line), static_cast<size_t>(width)) << line;
      EXPECT_EQ(line.find_first_of("\n\x1b"), std::string::npos) << line;
    }
  }
  EXPECT_NE(steps.frame(wide_as(80), kStart, true).back().find("1 of 2"), std::string::npos);
}

TEST(Steps, AFrameIsNoHigherThanTheTerminalAndKeepsWhatGoesOn) {
  Steps steps(kStart);
  for (int i = 0; i < 30; ++i) steps.take({"n" + std::to_string(i), Event::State::kOk, "", 0}, kStart);
  steps.take({"slow", Event::State::kRunning, "copying", 0}, kStart);
  const auto lines = steps.frame(wide_as(80, 10), kStart, true);
  EXPECT_LE(lines.size(), 9u);
  EXPECT_NE(lines[lines.size() - 2].find("slow"), std::string::npos);
}

TEST(Terminal, ControlBytesOfOthersNeverReachIt) {
  EXPECT_EQ(visible("a\x1b[31mb\r\x7f\xc2\x9b"
                    "c\nd"),
            "a?[31mb???c d");
  EXPECT_EQ(visible("a\tb\n", true), "a\tb\n");
  EXPECT_EQ(visible("Größe ✔"), "Größe ✔");
  const Error error = Error(Code::kTool, "log:\n\x1b]0;x\a").with("said", "\x1b[2J");
  EXPECT_EQ(render_error(error).find_first_of("\x1b\a"), std::string::npos);
}

TEST(Terminal, TextIsCutBetweenCharacters) {
  EXPECT_EQ(fitted("Größe", 3), "Grö");
  EXPECT_EQ(fitted("ö", 3), "ö  ");
  EXPECT_EQ(columns("\x1b[32m✔\x1b[0m ok"), 4u);
}

TEST(Shell, WordsAreQuotedWhereTheyMustBe) {
  EXPECT_EQ(shell_word("/a/b-1.json"), "/a/b-1.json");
  EXPECT_EQ(shell_word("my file"), "'my file'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word(""), "''");
}

TEST(Events, OldAndBrokenLinesAreLeftOut) {
  const std::string line = R"({"time":"2026-01-31T12:00:00.000Z","text":"init finished"})";
  EXPECT_EQ(event_line(line, "", false), "2026-01-31T12:00:00.000Z  init finished\n");
  EXPECT_EQ(event_line(line, "2026-01-31T11:59", true), line + "\n");
  EXPECT_EQ(event_line(line, "2026-02", false), "");
  EXPECT_EQ(event_line("{\"time\":", "", false), "");
  EXPECT_EQ(event_line("{\"time\":1,\"text\":[]}", "", false), "  \n");
}

}  // namespace
}  // namespace pgb::cli
