#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "net/address.h"
#include "net/buffer.h"
#include "net/event_loop.h"
#include "net/network.h"
#include "net/socket.h"
#include "net/stream.h"

namespace pgb::net {
namespace {

using std::chrono::milliseconds;
using Kind = IoResult::Kind;

struct Pair {
  os::UniqueFd near, far;
  Pair() {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) abort();
    near.reset(fds[0]);
    far.reset(fds[1]);
  }
};

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
  Pair one, two;
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
  Pair pair;
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

class Tls : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/pgb_net_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=test -keyout " +
        dir_ + "/key.pem -out " + dir_ + "/cert.pem 2>/dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -rf '" + dir_ + "'").c_str()), 0); }
  std::string dir_;
};

TEST_F(Tls, CarriesMegabytesBothWaysOverANonBlockingSocket) {
  auto context = TlsContext::server(dir_ + "/cert.pem", dir_ + "/key.pem");
  ASSERT_TRUE(context) << context.error().message;
  Pair pair;
  auto stream = tls_server_stream(std::move(pair.near), **context);
  ASSERT_TRUE(stream);
  EXPECT_TRUE(stream->encrypted());
  const std::string sent(3 << 20, 'q');
  std::string answer;
  std::thread client([&] {  // sends everything, then reads as much again
    const int fd = pair.far.get();
    fcntl(fd, F_SETFL, 0);
    SSL_CTX* made = SSL_CTX_new(TLS_client_method());
    SSL* ssl = SSL_new(made);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) == 1 && SSL_write(ssl, sent.data(), static_cast<int>(sent.size())) > 0) {
      char bytes[8192];
      int got = 0;
      while (answer.size() < sent.size() && (got = SSL_read(ssl, bytes, sizeof bytes)) > 0) {
        answer.append(bytes, static_cast<size_t>(got));
      }
    }
    SSL_free(ssl);
    SSL_CTX_free(made);
    pair.far.reset();
  });
  Buffer echo;
  size_t received = 0;
  bool ended = false;
  while (!ended) {
    pollfd waiting = {stream->fd(), static_cast<short>(POLLIN | (echo.empty() ? 0 : POLLOUT)), 0};
    ASSERT_EQ(::poll(&waiting, 1, 10000), 1);
    char bytes[4096];
    for (;;) {
      const IoResult got = stream->read(bytes, sizeof bytes);
      ended = ended || got.kind == Kind::kClosed || got.kind == Kind::kFailed;
      if (got.kind != Kind::kDone) break;
      received += got.count;
      echo.append(std::string_view(bytes, got.count));
    }
    if (received < sent.size()) continue;  // its client does not read before it has sent all
    while (!echo.empty()) {
      const IoResult put = stream->write(echo.view());
      if (put.kind != Kind::kDone) break;
      echo.consume(put.count);
    }
  }
  client.join();
  EXPECT_EQ(received, sent.size());
  EXPECT_EQ(answer.size(), sent.size());
}

TEST_F(Tls, GarbageInsteadOfAHandshakeIsAFailureNotACrash) {
  auto context = TlsContext::server(dir_ + "/cert.pem", dir_ + "/key.pem");
  ASSERT_TRUE(context);
  Pair pair;
  auto stream = tls_server_stream(std::move(pair.near), **context);
  ASSERT_EQ(::write(pair.far.get(), "GET / HTTP/1.1\r\n\r\n", 18), 18);
  char bytes[64];
  EXPECT_EQ(stream->read(bytes, sizeof bytes).kind, Kind::kFailed);
  pair.far.reset();
  EXPECT_EQ(stream->write("x").kind, Kind::kFailed);  // and no SIGPIPE
  stream->shut_down();
}

TEST_F(Tls, AWrongFileIsNamed) {
  const auto absent = TlsContext::server(dir_ + "/none.pem", dir_ + "/key.pem");
  ASSERT_FALSE(absent);
  EXPECT_NE(absent.error().message.find("none.pem"), std::string::npos);
  const auto swapped = TlsContext::server(dir_ + "/cert.pem", dir_ + "/cert.pem");
  ASSERT_FALSE(swapped);
  EXPECT_NE(swapped.error().message.find("cert.pem"), std::string::npos);
}

}  // namespace
}  // namespace pgb::net
