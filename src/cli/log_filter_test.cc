#include "cli/log_filter.h"

#include <gtest/gtest.h>

#include "cli/since.h"
#include "cli/topics.h"

namespace pgb::cli {
namespace {

constexpr const char* kLog =
    "2026-01-31T11:00:00.123Z info    agent: old\n"
    "2026-01-31 11:59:59.000 UTC [7] LOG:  older\n"
    "\tstill older\n"
    "2026-01-31 12:00:00.000 UTC [7] ERROR:  new\n"
    "\tcontinued\n"
    "2026-01-31T11:59:00.000Z info    agent: written late\n";

constexpr const char* kNew =
    "2026-01-31 12:00:00.000 UTC [7] ERROR:  new\n"
    "\tcontinued\n"
    "2026-01-31T11:59:00.000Z info    agent: written late\n";

TEST(LogFilter, ShowsWhatCameSince) {
  EXPECT_EQ(LogFilter("").pass(kLog), kLog);
  EXPECT_EQ(LogFilter("2026-01-31T12:00:00").pass(kLog), kNew);
  EXPECT_EQ(LogFilter("2026-01-31T12:00").pass(kLog), kNew);
  EXPECT_EQ(LogFilter("2026-01-31T12:00:00Z").pass(kLog), kNew);
  EXPECT_EQ(LogFilter("2026-01-31T12:00:01").pass(kLog), "");
  EXPECT_EQ(LogFilter("2026-01-31").pass(kLog), kLog);
  EXPECT_EQ(LogFilter("2026-01-31T12:00").pass("no time at all\n"), "");
}

TEST(LogFilter, WhatFollowsIsShown) {
  LogFilter filter("2026-01-31T12:00");
  EXPECT_EQ(filter.pass("2026-01-31T11:00:00Z old\n"), "");
  EXPECT_EQ(filter.pass(kNew), kNew);
  EXPECT_EQ(filter.pass("more\n"), "more\n");
}

TEST(Since, IsADurationOrATime) {
  EXPECT_EQ(since_text("", 0), "");
  EXPECT_EQ(since_text("10m", 1769860800), "2026-01-31T11:50:00");
  EXPECT_EQ(since_text("2026-01-31T12:00", 0), "2026-01-31T12:00");
  EXPECT_FALSE(since_text("yesterday", 0).has_value());
}

TEST(Topics, AreAllThereAndFitOnATerminal) {
  for (const Topic& topic : topics()) {
    const std::string text = topic_text(topic.name);
    EXPECT_FALSE(text.empty()) << topic.name;
    size_t from = 0;
    while (from < text.size()) {
      const size_t end = text.find('\n', from);
      EXPECT_LE(end - from, 80u) << text.substr(from, end - from);
      from = end + 1;
    }
  }
  EXPECT_EQ(topic_text("nothing"), "");
  for (const ErrorInfo& row : error_table()) {
    const std::string_view topic = topic_of(row.code);
    if (!topic.empty()) {
      EXPECT_NE(topic_text(topic), "");
    }
    EXPECT_NE(topic_text("errors").find(row.id), std::string::npos);
  }
}

}  // namespace
}  // namespace pgb::cli
