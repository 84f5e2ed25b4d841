#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>
#include <string>
#include <thread>

#include "net/address.h"
#include "net/buffer.h"
#include "net/event_loop.h"
#include "net/network.h"
#include "net/socket.h"
#include "net/socket_pair_for_tests.h"
#include "net/stream.h"

namespace pgb::net {
namespace {

using std::chrono::milliseconds;
using Kind = IoResult::Kind;

TEST(Address, TakesNumbersAndLocalhostAndNothingElse) {
  EXPECT_EQ(Address::parse("172.31.1.20", 5432)->str(), "172.31.1.20:5432");
  EXPECT_EQ(Address::parse("::1", 80)->str(), "[::1]:80");
  EXPECT_EQ(Address::parse("localhost", 1)->str(), "127.0.0.1:1");
  const auto bad = Address::parse("primary1", 5432);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, Code::kConfig);
  EXPECT_NE(bad.error().message.find("primary1"), std::string::npos);
}

Network network(const std::string& host, const std::string& mask) {
  auto made = Network::parse(host, mask);
  EXPECT_TRUE(made) << host << "/" << mask;
  return made ? *made : Network();
}

TEST(Network, HoldsTheAddressesThatItsMaskLeavesEqual) {
  const auto holds = [](const Network& net, const char* host) { return net.contains(*Address::parse(host, 1)); };
  EXPECT_TRUE(holds(network("10.1.2.3", "8"), "10.255.0.1")) << "bits behind the mask do not count";
  EXPECT_FALSE(holds(network("10.1.2.3", "8"), "11.1.2.3"));
  EXPECT_TRUE(holds(network("10.1.2.3", "32"), "10.1.2.3"));
  EXPECT_FALSE(holds(network("10.1.2.3", "32"), "10.1.2.2"));
  EXPECT_TRUE(holds(network("10.1.2.0", "23"), "10.1.3.9"));
  EXPECT_FALSE(holds(network("10.1.2.0", "23"), "10.1.4.9"));
  EXPECT_TRUE(holds(network("192.168.0.0", "255.255.0.0"), "192.168.7.7"));
  EXPECT_TRUE(holds(network("0.0.0.0", "0"), "8.8.8.8"));
  EXPECT_FALSE(holds(network("0.0.0.0", "0"), "::1")) << "the other family";
  EXPECT_TRUE(holds(network("::", "0"), "2001:db8::1"));
  EXPECT_TRUE(holds(network("2001:db8::", "33"), "2001:db8:7fff::1"));
  EXPECT_FALSE(holds(network("2001:db8::", "33"), "2001:db8:8000::1"));
  EXPECT_TRUE(holds(network("10.0.0.0", "8"), "::ffff:10.9.9.9")) << "IPv4 through a socket of both";
  EXPECT_FALSE(network("0.0.0.0", "0").contains(Address()));
}

TEST(Network, RefusesWhatIsNoAddressOrNoMask) {
  const std::pair<const char*, const char*> wrong[] = {
      {"10.0.0.0", "33"},  {"10.0.0.0", "-1"},     {"10.0.0.0", ""},    {"10.0.0.0", "8x"}, {"::", "129"},
      {"::", "255.0.0.0"}, {"10.0.0.0", "ffff::"}, {"lb.example", "8"}, {"10.0.0", "8"},    {"localhost", "8"}};
  for (const auto& [host, mask] : wrong) EXPECT_FALSE(Network::parse(host, mask)) << host << "/" << mask;
}

TEST(Network, ThisMachinesOwnAddressesAreOnItsNetworks) {
  const auto networks = own_networks();
  const Address loopback = *Address::parse("127.0.0.1", 1);
  const auto holds = [&](const Network& n) { return n.address_is(loopback); };
  EXPECT_TRUE(std::any_of(networks.begin(), networks.end(), holds));
  EXPECT_FALSE(network("127.0.0.1", "8").address_is(*Address::parse("127.0.0.2", 1)));
  EXPECT_TRUE(network("127.0.0.1", "8").contains(*Address::parse("127.0.0.2", 1)));
}

TEST(Buffer, KeepsOrderAndGivesMemoryBack) {
  Buffer buffer;
  std::string expected, got;
  for (int i = 0; i < 2000; ++i) {
    const std::string piece = "piece " + std::to_string(i) + std::string(static_cast<size_t>(i % 97), 'x');
    buffer.append(piece);
    expected += piece;
    const size_t take = std::min<size_t>(buffer.size(), static_cast<size_t>(i % 89));
    got += buffer.view().substr(0, take);
    buffer.consume(take);
  }
  got += buffer.view();
  buffer.consume(buffer.size());
  EXPECT_EQ(got, expected);
  EXPECT_TRUE(buffer.empty());
  buffer.append(std::string(1 << 20, 'y'));
  buffer.consume(1 << 20);
  EXPECT_LT(buffer.capacity(), size_t{8192});
}

TEST(EventLoop, RunsTimersInTheirOrderAndNotTheCancelledOnes) {
  auto loop = EventLoop::create();
  ASSERT_TRUE(loop);
  std::string order;
  (*loop)->after(milliseconds(20), [&] { order += "c"; });
  (*loop)->after(milliseconds(1), [&] { order += "a"; });
  const auto gone = (*loop)->after(milliseconds(5), [&] { order += "x"; });
  (*loop)->after(milliseconds(10), [&] { order += "b"; });
  (*loop)->after(milliseconds(30), [&] { (*loop)->stop(); });
  (*loop)->cancel(gone);
  (*loop)->run();
  EXPECT_EQ(order, "abc");
}

TEST(EventLoop, RunsWorkPostedByOtherThreads) {
  auto loop = EventLoop::create();
  ASSERT_TRUE(loop);
  int ran = 0;
  std::thread poster([&] {
    for (int i = 0; i < 1000; ++i) (*loop)->post([&] { ++ran; });
    (*loop)->post([&] { (*loop)->stop(); });
  });
  (*loop)->run();
  poster.join();
  EXPECT_EQ(ran, 1000);
}

struct Watcher final : Pollable {
  std::function<void(uint32_t)> action;
  void on_events(uint32_t events) override { action(events); }
};

TEST(EventLoop, CallsNobodyAfterRemoveEvenInTheSameRound) {
  auto loop = EventLoop::create();
  ASSERT_TRUE(loop);
  SocketPair one, two;
  ASSERT_EQ(::write(one.far.get(), "x", 1), 1);
  ASSERT_EQ(::write(two.far.get(), "x", 1), 1);
  int calls = 0;
  Watcher first, second;
  first.action = second.action = [&](uint32_t) {
    ++calls;
    (*loop)->remove(one.near.get(), first);
    (*loop)->remove(two.near.get(), second);
    (*loop)->after(milliseconds(5), [&] { (*loop)->stop(); });
  };
  ASSERT_TRUE((*loop)->add(one.near.get(), EPOLLIN, first));
  ASSERT_TRUE((*loop)->add(two.near.get(), EPOLLIN, second));
  (*loop)->run();
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, FollowsAChangeOfInterest) {
  auto loop = EventLoop::create();
  ASSERT_TRUE(loop);
  SocketPair pair;
  uint32_t seen = 0;
  Watcher watcher;
  watcher.action = [&](uint32_t events) {
    seen |= events;
    (*loop)->stop();
  };
  ASSERT_TRUE((*loop)->add(pair.near.get(), EPOLLIN, watcher));
  (*loop)->modify(pair.near.get(), EPOLLOUT, watcher);
  (*loop)->run();
  EXPECT_EQ(seen, static_cast<uint32_t>(EPOLLOUT));
}

TEST(Socket, SeveralReactorsShareAPortAndAStrangerIsTold) {
  auto first = listen_on(*Address::parse("127.0.0.1", 0));
  ASSERT_TRUE(first);
  const Address address = Address::local_of(first->get());
  EXPECT_NE(address.port(), 0);
  EXPECT_TRUE(listen_on(address));
  const Status free = check_port_free(address);
  ASSERT_FALSE(free);
  EXPECT_EQ(free.error().code, Code::kPortInUse);
  EXPECT_NE(free.error().message.find(address.str()), std::string::npos);
}

TEST(Socket, ConnectsAndCarriesBytesAndSeesTheEnd) {
  auto listener = listen_on(*Address::parse("127.0.0.1", 0));
  ASSERT_TRUE(listener);
  const Address address = Address::local_of(listener->get());
  EXPECT_FALSE(accept_one(listener->get()));
  auto out = start_connect(address);
  ASSERT_TRUE(out);
  pollfd waiting = {out->get(), POLLOUT, 0};
  ASSERT_EQ(::poll(&waiting, 1, 5000), 1);
  EXPECT_TRUE(connect_result(out->get(), address).ok());
  auto near = plain_stream(accept_one(listener->get()));
  auto far = plain_stream(std::move(*out));
  char bytes[16];
  EXPECT_EQ(near->read(bytes, sizeof bytes).kind, Kind::kWait);
  EXPECT_EQ(far->write("hello").count, 5u);
  waiting = {near->fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, 5000), 1);
  EXPECT_EQ(near->read(bytes, sizeof bytes).count, 5u);
  far.reset();
  ASSERT_EQ(::poll(&waiting, 1, 5000), 1);
  EXPECT_EQ(near->read(bytes, sizeof bytes).kind, Kind::kClosed);
}

// Whatever the machine uses by default.
TEST(Socket, PacesNothingThatStaysOnThisMachine) {
  auto listener = listen_on(*Address::parse("127.0.0.1", 0));
  ASSERT_TRUE(listener);
  auto near = start_connect(Address::local_of(listener->get()));
  ASSERT_TRUE(near);
  pollfd waiting = {listener->get(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, 5000), 1);
  const os::UniqueFd far = accept_one(listener->get());
  for (const int fd : {near->get(), far.get()}) {
    char name[16] = {};
    socklen_t size = sizeof name;
    ASSERT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size), 0);
    EXPECT_EQ(std::string(name).find("bbr"), std::string::npos);
  }
}

TEST(Address, KnowsWhatIsOnThisMachine) {
  for (const char* host : {"127.0.0.1", "127.8.9.10", "localhost", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(Address::parse(host, 1)->is_loopback()) << host;
  }
  for (const char* host : {"10.0.0.1", "128.0.0.1", "0.0.0.0", "::", "::ffff:10.0.0.1", "fe80::1"}) {
    EXPECT_FALSE(Address::parse(host, 1)->is_loopback()) << host;
  }
}

// What was written to a peer that had closed before stays unconfirmed; what it could read does not.
TEST(Socket, SaysAfterTheEndWhatThePeerCannotHaveRead) {
  for (const bool closed_before : {true, false}) {
    const Address any = *Address::parse("127.0.0.1", 0);
    auto listener = listen_on(any);
    ASSERT_TRUE(listener);
    auto fd = start_connect(Address::local_of(listener->get()));
    ASSERT_TRUE(fd);
    pollfd waiting = {listener->get(), POLLIN, 0};
    ASSERT_EQ(::poll(&waiting, 1, 5000), 1);
    os::UniqueFd far = accept_one(listener->get());
    ASSERT_TRUE(far);
    const auto readable = [](int socket) {
      pollfd one = {socket, POLLIN, 0};
      return ::poll(&one, 1, 5000) == 1;
    };
    if (closed_before) {
      far.reset();
      ASSERT_TRUE(readable(fd->get()));
    }
    ASSERT_EQ(::send(fd->get(), "hello", 5, MSG_NOSIGNAL), 5);
    char buffer[8];
    if (!closed_before) {
      ASSERT_TRUE(readable(far.get()));
      ASSERT_EQ(::recv(far.get(), buffer, sizeof buffer, 0), 5);
      far.reset();
      ASSERT_TRUE(readable(fd->get()));
    }
    EXPECT_EQ(::recv(fd->get(), buffer, sizeof buffer, 0), 0) << "an end in order";
    EXPECT_EQ(unconfirmed(fd->get()), closed_before ? 5u : 0u);
  }
  EXPECT_EQ(unconfirmed(-1), 0u);
}

TEST(Socket, ARefusedConnectionNamesTheAddress) {
  auto listener = listen_on(*Address::parse("127.0.0.1", 0));
  ASSERT_TRUE(listener);
  const Address address = Address::local_of(listener->get());
  listener->reset();
  auto out = start_connect(address);
  if (!out) return;  // refused at once: also an answer
  pollfd waiting = {out->get(), POLLOUT, 0};
  ASSERT_EQ(::poll(&waiting, 1, 5000), 1);
  const Status result = connect_result(out->get(), address);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kUnreachable);
  EXPECT_NE(result.error().message.find(address.str()), std::string::npos);
}

}  // namespace
}  // namespace pgb::net
