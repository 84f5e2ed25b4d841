#include "base/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

namespace pgb::log {
namespace {

// What is written after the time.
std::string written(Format format, std::string_view message, Fields fields) {
  setup("prog", Level::kInfo, format);
  testing::internal::CaptureStderr();
  info(message, fields);
  debug("not this", fields);
  const std::string line = testing::internal::GetCapturedStderr();
  const size_t time = format == Format::kText ? std::string("2026-01-01T12:00:00.123Z ").size()
                                              : std::string(R"({"time":"2026-01-01T12:00:00.123Z",)").size();
  return line.substr(std::min(time, line.size()));
}

TEST(Log, TextHasItsFieldsBehindTheMessage) {
  EXPECT_EQ(written(Format::kText, "slow", {}), "info    prog: slow\n");
  EXPECT_EQ(written(Format::kText, "slow\ninfo    prog: \x1b[1mforged", {}),
            "info    prog: slow?info    prog: ?[1mforged\n");
  EXPECT_EQ(written(Format::kText, "slow", {{"ms", "12"}, {"text", "SELECT \"a\"\n"}, {"user", ""}}),
            "info    prog: slow ms=12 text=\"SELECT \\\"a\\\"\\u000a\" user=\"\"\n");
}

TEST(Log, JsonStaysJsonWhateverIsInIt) {
  EXPECT_EQ(written(Format::kJson, "a \"b\"\n", {{"user", "J\xc3\xb6rg\\"}, {"bytes", "\xff\x01"}}),
            "\"level\":\"info\",\"program\":\"prog\",\"message\":\"a \\\"b\\\"\\u000a\",\"user\":\"J\xc3\xb6rg\\\\\","
            "\"bytes\":\"?\\u0001\"}\n");
}

TEST(Log, GoesOnInANewFileAfterTheOldOneWasRenamed) {
  setup("prog", Level::kInfo, Format::kText);
  const int before = ::dup(STDERR_FILENO);
  const std::string name = "/tmp/pgb_log_" + std::to_string(::getpid()), older = name + ".1";
  const auto text_of = [](const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  };
  EXPECT_TRUE(write_to(name));
  info("one");
  ASSERT_EQ(std::rename(name.c_str(), older.c_str()), 0);
  info("two");
  EXPECT_TRUE(write_to(name));
  info("three");
  EXPECT_FALSE(write_to("/nowhere/at/all"));
  info("four");
  ::dup2(before, STDERR_FILENO);
  ::close(before);
  EXPECT_NE(text_of(older).find("two"), std::string::npos);
  EXPECT_EQ(text_of(older).find("three"), std::string::npos);
  EXPECT_NE(text_of(name).find("four"), std::string::npos);
  ::unlink(name.c_str());
  ::unlink(older.c_str());
}

}  // namespace
}  // namespace pgb::log
