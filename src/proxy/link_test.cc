#include "proxy/link.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <string>

namespace pgb::proxy {
namespace {

class Nobody final : public net::Pollable {
 public:
  void on_events(uint32_t) override {}
};

// Reads a few bytes each time that it is told, and asks again for what it left.
class EdgeReader final : public net::Pollable {
 public:
  EdgeReader(net::EventLoop& loop, os::UniqueFd fd) : loop_(loop) {
    link.stream = net::plain_stream(std::move(fd));
    link.watch(loop_, *this, kEdges);
  }
  void on_events(uint32_t events) override {
    ++told;
    link.note_events(events);
    std::array<char, 4> bytes;
    const net::IoResult got = link.read(bytes.data(), bytes.size());
    if (got.kind == net::IoResult::Kind::kDone) read.append(bytes.data(), got.count);
    ended = got.kind == net::IoResult::Kind::kClosed;
    if (ended) return link.close();
    link.watch(loop_, *this, kEdges);
  }
  // Runs the loop until it has nothing to tell any more.
  void settle() {
    look();
    loop_.run();
  }

  static constexpr uint32_t kEdges = EPOLLIN | EPOLLRDHUP | EPOLLET;
  Link link;
  std::string read;
  int told = 0;
  bool ended = false;

 private:
  void look() {
    seen_ = told;
    loop_.after(std::chrono::milliseconds(30), [this] { told == seen_ ? loop_.stop() : look(); });
  }

  net::EventLoop& loop_;
  int seen_ = 0;
};

struct Ends {
  Ends() {
    int both[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both), 0);
    ours = os::UniqueFd(both[0]);
    other = os::UniqueFd(both[1]);
  }
  os::UniqueFd ours, other;
};

// What has come at the other end; does not wait.
std::string received(int fd) {
  std::array<char, 64> bytes;
  const ssize_t got = ::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
  return got > 0 ? std::string(bytes.data(), static_cast<size_t>(got)) : std::string();
}

TEST(Link, WhatIsPostedBeforeItIsWatchedGoesOutOnceItIs) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  const os::UniqueFd other(ends[1]);
  auto loop = net::EventLoop::create(false);
  ASSERT_TRUE(loop);
  Nobody owner;
  Link link;
  link.stream = net::plain_stream(os::UniqueFd(ends[0]));
  link.post("hello");
  (*loop)->send_queue().send_all();
  EXPECT_EQ(received(other.get()), "");
  link.watch(**loop, owner, EPOLLIN);
  (*loop)->send_queue().send_all();
  EXPECT_EQ(received(other.get()), "hello");
}

TEST(Link, OfBytesThatWereAllReadItIsToldOnce) {
  Ends ends;
  auto loop = net::EventLoop::create(false);
  ASSERT_TRUE(loop);
  EdgeReader reader(**loop, std::move(ends.ours));
  ASSERT_EQ(::send(ends.other.get(), "abc", 3, 0), 3);
  reader.settle();
  EXPECT_EQ(reader.read, "abc");
  EXPECT_EQ(reader.told, 1);
  EXPECT_FALSE(reader.ended);
}

TEST(Link, WhatWasNotReadIsToldAgain) {
  Ends ends;
  auto loop = net::EventLoop::create(false);
  ASSERT_TRUE(loop);
  EdgeReader reader(**loop, std::move(ends.ours));
  ASSERT_EQ(::send(ends.other.get(), "abcdefghij", 10, 0), 10);
  reader.settle();
  EXPECT_EQ(reader.read, "abcdefghij");
}

TEST(Link, TheEndBehindTheLastBytesIsTold) {
  Ends ends;
  auto loop = net::EventLoop::create(false);
  ASSERT_TRUE(loop);
  EdgeReader reader(**loop, std::move(ends.ours));
  ASSERT_EQ(::send(ends.other.get(), "abc", 3, 0), 3);
  ends.other.reset();
  reader.settle();
  EXPECT_EQ(reader.read, "abc");
  EXPECT_TRUE(reader.ended);
}

TEST(Link, WhatCameWhileNobodyWantedToReadIsTold) {
  Ends ends;
  auto loop = net::EventLoop::create(false);
  ASSERT_TRUE(loop);
  EdgeReader reader(**loop, std::move(ends.ours));
  reader.link.watch(**loop, reader, EPOLLOUT);
  ASSERT_EQ(::send(ends.other.get(), "abc", 3, 0), 3);
  reader.link.watch(**loop, reader, EdgeReader::kEdges);
  reader.settle();
  EXPECT_EQ(reader.read, "abc");
}

}  // namespace
}  // namespace pgb::proxy
