#include "os/fd_channel.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "os/file.h"
#include "os/test_dir.h"

namespace pgb::os {
namespace {

using std::chrono::milliseconds;

class FdChannelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto listener = FdChannel::listen(path());
    ASSERT_TRUE(listener) << listener.error().message;
    auto near = FdChannel::connect(path());
    ASSERT_TRUE(near) << near.error().message;
    auto far = FdChannel::accept(listener->get(), Deadline::after(milliseconds(1000)));
    ASSERT_TRUE(far) << far.error().message;
    near_ = std::move(*near);
    far_ = std::move(*far);
  }
  std::string path() const { return dir_.path + "/socket"; }

  TestDir dir_;
  FdChannel near_, far_;
};

TEST_F(FdChannelTest, TextAndDescriptorsArriveTogether) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  ASSERT_TRUE(near_.send("take these", {write_end.get(), read_end.get()}));
  auto message = far_.receive(Deadline::after(milliseconds(1000)));
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(message->text, "take these");
  ASSERT_EQ(message->fds.size(), 2u);
  write_end.reset();
  ASSERT_EQ(::write(message->fds[0].get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(read_end.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
}

TEST_F(FdChannelTest, MessagesStayApart) {
  ASSERT_TRUE(near_.send("one"));
  ASSERT_TRUE(near_.send("two"));
  EXPECT_EQ(far_.receive(Deadline::after(milliseconds(1000)))->text, "one");
  EXPECT_EQ(far_.receive(Deadline::after(milliseconds(1000)))->text, "two");
  EXPECT_EQ(far_.receive(Deadline::after(milliseconds(1))).error().code, Code::kTimeout);
}

TEST_F(FdChannelTest, AnEndIsNoticedOnTheOtherSide) {
  near_ = FdChannel();
  EXPECT_EQ(far_.receive(Deadline::after(milliseconds(1000))).error().code, Code::kUnreachable);
  EXPECT_FALSE(far_.send("nobody hears this"));
}

TEST_F(FdChannelTest, OnlyItsOwnerMayUseIt) {
  struct stat info = {};
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(*far_.peer(), ::geteuid());
}

TEST_F(FdChannelTest, WhoListensAnewReplacesWhatWasThere) {
  auto again = FdChannel::listen(path());
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_TRUE(FdChannel::connect(path()));
  EXPECT_TRUE(FdChannel::accept(again->get(), Deadline::after(milliseconds(1000))));
  again->reset();
  EXPECT_EQ(FdChannel::connect(path()).error().code, Code::kUnreachable);
  EXPECT_EQ(FdChannel::listen(std::string(101, 'x')).error().code, Code::kIo);
}

}  // namespace
}  // namespace pgb::os
