// What the monitor makes of a server that takes no more connections: nothing, if it was the monitor that gave its own
// one up.
#include "proxy/health.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <list>
#include <mutex>
#include <optional>
#include <thread>

#include "pgwire/error_response.h"
#include "pgwire/framer.h"
#include "pgwire/messages.h"

namespace pgb::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// As far as the monitor knows one: a primary that says how it is, and is full from a moment on.
class FullServer {
 public:
  FullServer() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    EXPECT_EQ(::listen(listener_, 16), 0);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~FullServer() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& one : threads_) one.join();
    ::close(listener_);
  }

  uint16_t port() const { return port_; }
  std::atomic<bool> full{false};          // it says so to whoever comes
  std::atomic<bool> without_word{false};  // it hangs up on whoever comes
  std::atomic<int> refused{0}, answered{0};
  // Asked for connections and slots it says nothing any more, and is full.
  std::atomic<bool> silent_at_basics{false};
  std::atomic<bool> hangs_up{false};  // at the next question for its role, and is full

 private:
  void accept_all() {
    for (int fd = 0; (fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      {
        const std::lock_guard lock(mutex_);
        open_.push_back(fd);
      }
      threads_.emplace_back([this, fd] {
        serve(fd);
        const std::lock_guard lock(mutex_);
        open_.remove(fd);
        ::close(fd);
      });
    }
  }

  void serve(int fd) {
    char bytes[8192];
    if (::recv(fd, bytes, sizeof bytes, 0) <= 0) return;  // the startup packet comes whole
    std::string out;
    if (full || without_word) {
      pgwire::ErrorResponse error;
      error.severity = "FATAL";
      error.sqlstate = pgwire::sqlstate::kTooManyConnections;
      error.message = "sorry, too many clients already";
      if (!without_word) encode(out, error);
      send(fd, out);
      ++refused;
      return;
    }
    encode(out, pgwire::AuthenticationRequest{});
    encode(out, pgwire::ReadyForQuery{});
    send(fd, out);
    pgwire::Framer framer;
    for (ssize_t n = 0; (n = ::recv(fd, bytes, sizeof bytes, 0)) > 0;) {
      framer.feed({bytes, static_cast<size_t>(n)});
      for (auto step = framer.next(); step.kind == pgwire::Step::Kind::kMessage; step = framer.next()) {
        const bool basics = step.payload.find("statement_timeout") != std::string_view::npos;
        if (basics ? silent_at_basics : hangs_up) full = true;
        if (basics && silent_at_basics) continue;
        if (!basics && hangs_up) return;
        send(fd, basics ? too_slow() : how_it_is());
        if (!basics) ++answered;
      }
    }
  }

  static void send(int fd, const std::string& out) { ::send(fd, out.data(), out.size(), MSG_NOSIGNAL); }

  static std::string too_slow() {
    std::string out;
    pgwire::ErrorResponse error;
    error.sqlstate = pgwire::sqlstate::kQueryCanceled;
    error.message = "canceling statement due to statement timeout";
    encode(out, error);
    encode(out, pgwire::ReadyForQuery{});
    return out;
  }

  static std::string how_it_is() {
    pgwire::RowDescription names;
    for (const char* name : {"standby", "lsn", "flushed", "timeline", "settle"}) {
      names.fields.emplace_back();
      names.fields.back().name = name;
    }
    std::string out;
    encode(out, names);
    encode(out, pgwire::DataRow{{"f", "1000", "1000", "00000001", "2000000000"}});
    encode(out, pgwire::CommandComplete{"SELECT 1"});
    encode(out, pgwire::ReadyForQuery{});
    return out;
  }

  int listener_ = -1;
  uint16_t port_ = 0;
  std::mutex mutex_;
  std::list<int> open_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

class HealthTest : public ::testing::Test {
 protected:
  void watch(const FullServer& server) {
    auto first = std::make_shared<TopologySnapshot>();
    NodeView node;
    node.name = "primary1";
    node.host = "127.0.0.1";
    node.port = server.port();
    first->nodes.push_back(node);
    gauge_ = node.gauge;
    HealthSettings how;
    how.user = "pgbalancer";
    how.interval = milliseconds(10);
    how.basics_interval = milliseconds(1);
    monitor_.emplace(how, first, [this](const TopologyPtr& now) {
      if (now->nodes[0].healthy) was_healthy_ = true;
      if (was_healthy_ && !now->nodes[0].healthy) was_lost_ = true;
    });
  }

  bool healthy() const { return monitor_->topology()->nodes[0].healthy; }

  template <class Look>
  static bool reaches(Look look) {
    const auto limit = std::chrono::steady_clock::now() + seconds(20);
    while (!look() && std::chrono::steady_clock::now() < limit) std::this_thread::sleep_for(milliseconds(2));
    return look();
  }

  std::atomic<bool> was_healthy_{false}, was_lost_{false};
  std::shared_ptr<NodeGauge> gauge_;
  std::optional<HealthMonitor> monitor_;
};

TEST_F(HealthTest, AServerWhosePlaceForUsWentToAnotherWhenWeGaveItUpIsHealthy) {
  FullServer server;
  server.silent_at_basics = true;
  watch(server);
  ASSERT_TRUE(reaches([&] { return server.refused >= 5; })) << "the connection is given up, for it says nothing";
  EXPECT_TRUE(was_healthy_ && healthy() && !was_lost_);
  EXPECT_GE(gauge_->probes.bad, 4u) << "it counts as not answered all the same";
  EXPECT_EQ(monitor_->topology()->nodes[0].last_error, "");
  server.silent_at_basics = false;
  server.full = false;
  const int before = server.answered;
  EXPECT_TRUE(reaches([&] { return server.answered > before + 2; })) << "it is asked again once there is room";
  EXPECT_TRUE(healthy() && !was_lost_);
}

TEST_F(HealthTest, WhoAnswersNothingAtAllIsNotExcusedByThat) {
  FullServer server;
  server.silent_at_basics = true;
  watch(server);
  ASSERT_TRUE(reaches([&] { return server.refused >= 2; }));
  EXPECT_TRUE(healthy());
  server.without_word = true;
  EXPECT_TRUE(reaches([&] { return !healthy(); }));
  server.without_word = false;  // full again: it was not we who gave that connection up
  const int before = server.refused;
  ASSERT_TRUE(reaches([&] { return server.refused > before + 2; }));
  EXPECT_FALSE(healthy());
}

TEST_F(HealthTest, AServerThatHangsUpAndIsFullThenIsNotHealthy) {
  FullServer server;
  watch(server);
  ASSERT_TRUE(reaches([&] { return healthy() && server.answered >= 3; })) << "what it is slow about costs nothing";
  EXPECT_EQ(server.refused, 0) << "a connection that answers with an error stays";
  server.hangs_up = true;
  EXPECT_TRUE(reaches([&] { return !healthy(); }));
  EXPECT_NE(monitor_->topology()->nodes[0].last_error.find("too many clients"), std::string::npos);
}

}  // namespace
}  // namespace pgb::proxy
