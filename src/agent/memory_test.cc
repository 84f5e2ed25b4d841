#include "agent/memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "os/file.h"
#include "os/test_disk.h"
#include "os/unique_fd.h"

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

TEST(Memory, AFullDiskKeepsNobodyFromPromising) {
  const os::TestDisk disk("1m");
  if (!disk.mounted) GTEST_SKIP() << "a small file system can only be mounted by root";
  const std::string file = disk.dir.path + "/pgbalancer.ha";
  Memory memory(file);
  ASSERT_TRUE(memory.load().ok());
  ASSERT_TRUE(memory.promise(1).ok());
  const auto free = os::free_bytes(disk.dir.path);
  ASSERT_TRUE(free.ok());
  const os::UniqueFd ballast(::open((disk.dir.path + "/ballast").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_EQ(::fallocate(ballast.get(), 0, 0, static_cast<off_t>(*free)), 0);
  ASSERT_FALSE(os::write_file_atomic(disk.dir.path + "/other", "x", 0600).ok()) << "there is still room";
  for (ha::Epoch epoch = 2; epoch < 6; ++epoch) {
    const Status done = memory.promise(epoch);
    ASSERT_TRUE(done.ok()) << done.error().message;
    Memory again(file);
    ASSERT_TRUE(again.load().ok());
    EXPECT_EQ(again.facts().promised, epoch);
  }
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
