#include "agent/memory.h"

#include <gtest/gtest.h>

#include "os/file.h"
#include "os/test_dir.h"

namespace pgb::agent {
namespace {

TEST(Memory, APromiseOutlivesTheAgentAndNeverBecomesLess) {
  const os::TestDir dir;
  const std::string file = dir.path + "/pgbalancer.ha";
  Memory first(file);
  ASSERT_TRUE(first.load().ok());
  EXPECT_FALSE(first.facts().known);
  ASSERT_TRUE(first.promise(7).ok());
  ASSERT_TRUE(first.promise(3).ok());
  ASSERT_TRUE(first.set_led(5).ok());
  Memory second(file);
  ASSERT_TRUE(second.load().ok());
  EXPECT_EQ(second.facts().promised, 7U);
  EXPECT_EQ(second.facts().led, 5U);
  ASSERT_TRUE(second.promise_and_follow(8).ok());
  Memory third(file);
  ASSERT_TRUE(third.load().ok());
  EXPECT_EQ(third.facts().promised, 8U);
  EXPECT_EQ(third.facts().led, 0U) << "who follows another leads no more";
}

TEST(Memory, EachRiseOfThePromiseHasItsTime) {
  const os::TestDir dir;
  Memory memory(dir.path + "/pgbalancer.ha");
  ASSERT_TRUE(memory.load().ok());
  ha::Time last = memory.facts().promised_at;
  EXPECT_GT(last, ha::Time{});
  ASSERT_TRUE(memory.promise(7).ok());
  EXPECT_GT(memory.facts().promised_at, last);
  last = memory.facts().promised_at;
  ASSERT_TRUE(memory.promise(6).ok());
  ASSERT_TRUE(memory.set_led(5).ok());
  ASSERT_TRUE(memory.promise_and_follow(7).ok());
  EXPECT_EQ(memory.facts().promised_at, last) << "it did not rise";
  ASSERT_TRUE(memory.promise_and_follow(8).ok());
  EXPECT_GT(memory.facts().promised_at, last) << "to follow is to promise";
}

TEST(Memory, WhatCannotBeReadIsNoReasonToForget) {
  const os::TestDir dir;
  const std::string file = dir.path + "/pgbalancer.ha";
  ASSERT_TRUE(os::write_file_atomic(file, "{\"promised\": -1}", 0600).ok());
  EXPECT_FALSE(Memory(file).load().ok());
}

}  // namespace
}  // namespace pgb::agent
