#include "proxy/link.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>

namespace pgb::proxy {
namespace {

class Nobody final : public net::Pollable {
 public:
  void on_events(uint32_t) override {}
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

}  // namespace
}  // namespace pgb::proxy
