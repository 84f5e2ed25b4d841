#include "net/send_queue.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "os/unique_fd.h"

namespace pgb::net {
namespace {

// A socket pair with bytes to send from its near end.
class Sender final : public Outgoing {
 public:
  explicit Sender(std::string text) : text_(std::move(text)) {
    std::array<int, 2> ends = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    near_.reset(ends[0]);
    far_.reset(ends[1]);
  }

  int plain_socket() const override { return plain ? near_.get() : -1; }
  std::string_view waiting() const override { return text_; }
  void written(int count_or_error) override {
    ++completions;
    result = count_or_error;
    if (count_or_error > 0) text_.erase(0, static_cast<size_t>(count_or_error));
  }
  void write_waiting() override {
    ++calls;
    const ssize_t sent = ::send(near_.get(), text_.data(), text_.size(), MSG_NOSIGNAL);
    result = sent < 0 ? -errno : static_cast<int>(sent);
    if (sent > 0) text_.erase(0, static_cast<size_t>(sent));
  }

  std::string arrived() {
    std::string all;
    std::array<char, 65536> bytes;
    for (;;) {
      const ssize_t got = ::read(far_.get(), bytes.data(), bytes.size());
      if (got <= 0) return all;
      all.append(bytes.data(), static_cast<size_t>(got));
    }
  }
  void hang_up() { far_.reset(); }

  bool plain = true;
  int completions = 0, calls = 0, result = 0;

 private:
  std::string text_;
  os::UniqueFd near_, far_;
};

class SendQueueTest : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Ring, SendQueueTest, testing::Bool());

TEST_P(SendQueueTest, SendsEverybodysBytesOnce) {
  SendQueue queue(GetParam());
  std::vector<std::unique_ptr<Sender>> senders;
  for (int i = 0; i < 150; ++i) senders.push_back(std::make_unique<Sender>("bytes of " + std::to_string(i)));
  for (int round = 0; round < 2; ++round) {
    for (const auto& sender : senders) queue.add(*sender);
  }
  queue.send_all();
  for (int i = 0; i < 150; ++i) {
    EXPECT_EQ(senders[static_cast<size_t>(i)]->arrived(), "bytes of " + std::to_string(i));
    EXPECT_EQ(senders[static_cast<size_t>(i)]->calls + senders[static_cast<size_t>(i)]->completions, 1);
  }
  if (!GetParam()) {
    EXPECT_EQ(senders[0]->completions, 0) << "io_uring was not wanted";
  }
}

TEST_P(SendQueueTest, WhoLeavesSendsNothing) {
  SendQueue queue(GetParam());
  Sender stays("stays"), leaves("leaves"), last("last");
  for (Sender* sender : {&stays, &leaves, &last}) queue.add(*sender);
  queue.remove(leaves);
  queue.send_all();
  EXPECT_EQ(stays.arrived(), "stays");
  EXPECT_EQ(last.arrived(), "last");
  EXPECT_EQ(leaves.arrived(), "");
}

TEST_P(SendQueueTest, TellsWhatTheKernelDidNotTake) {
  SendQueue queue(GetParam());
  Sender large(std::string(8 << 20, 'x')), full(std::string(8 << 20, 'y')), small("small"), gone("gone");
  gone.hang_up();
  for (Sender* sender : {&large, &small, &gone}) queue.add(*sender);
  queue.send_all();
  EXPECT_GT(large.result, 0);
  EXPECT_LT(large.result, 8 << 20);
  EXPECT_EQ(large.arrived(), std::string(static_cast<size_t>(large.result), 'x'));
  EXPECT_EQ(small.arrived(), "small");
  EXPECT_EQ(gone.result, -EPIPE);
  queue.add(full);
  queue.add(small);
  queue.send_all();
  for (Sender* sender : {&full, &large}) queue.add(*sender);
  queue.send_all();
  EXPECT_EQ(full.result, -EAGAIN) << "it does not wait for room";
}

TEST_P(SendQueueTest, LeavesToThemselvesWhoCannotBeSentFor) {
  SendQueue queue(GetParam());
  Sender encrypted("secret"), plain("plain"), other("other");
  encrypted.plain = false;
  for (Sender* sender : {&encrypted, &plain, &other}) queue.add(*sender);
  queue.send_all();
  EXPECT_EQ(encrypted.calls, 1);
  EXPECT_EQ(encrypted.arrived(), "secret");
  EXPECT_EQ(plain.arrived(), "plain");
}

}  // namespace
}  // namespace pgb::net
