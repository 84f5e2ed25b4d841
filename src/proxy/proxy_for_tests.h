// A proxy in front of a real PostgreSQL server, and its clients: psql, a connection, bare bytes.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "net/address.h"
#include "net/socket.h"
#include "net/stream.h"
#include "os/subprocess.h"
#include "pgclient/connection.h"
#include "proxy/postgres_for_tests.h"
#include "proxy/proxy.h"

namespace pgb::proxy {

class ProxyTest : public ::testing::Test {
 protected:
  using milliseconds = std::chrono::milliseconds;
  using seconds = std::chrono::seconds;

  static void SetUpTestSuite() {
    auto made = Postgres::create();
    ASSERT_TRUE(made) << made.error().message;
    postgres_ = std::move(*made);
  }
  static void TearDownTestSuite() { postgres_.reset(); }

  void SetUp() override { ASSERT_TRUE(postgres_); }

  Settings settings() {
    Settings settings;
    settings.group = "lb1";
    settings.listen_address = "127.0.0.1";
    settings.port = 0;
    settings.threads = 2;
    settings.auth_password = Secret("balance");
    settings.server_timeout = milliseconds(1500);
    return settings;
  }
  TopologyPtr topology(uint16_t port, bool healthy = true) {
    auto snapshot = std::make_shared<TopologySnapshot>();
    snapshot->group = "lb1";
    snapshot->nodes = {{"primary1", "127.0.0.1", port, NodeRole::kPrimary, healthy, healthy ? "" : "went away"}};
    return snapshot;
  }
  void start(const Settings& how, TopologyPtr nodes) {
    auto started = Proxy::start(how, std::move(nodes));
    ASSERT_TRUE(started) << started.error().message;
    proxy_ = std::move(*started);
  }
  void start() { start(settings(), topology(postgres_->port())); }

  os::RunResult psql(const std::string& sql, const std::string& user = "alice",
                     const std::string& password = "wonder'land", const std::string& more = "sslmode=disable",
                     const std::string& input = "") {
    os::SpawnOptions options;
    const std::string target =
        "host=127.0.0.1 port=" + std::to_string(proxy_->port()) + " dbname=app user=" + user + " " + more;
    options.argv = {"psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-d", target, "-c", sql};
    options.env = {"PGPASSWORD=" + password};
    options.stdin_text = input;
    auto result = os::run(options, Deadline::after(seconds(40)));
    if (!result) return {-1, 0, "", result.error().message};
    return *result;
  }

  Result<std::unique_ptr<pgclient::Connection>> client() {
    pgclient::ConnInfo info;
    info.host = "127.0.0.1";
    info.port = proxy_->port();
    info.user = "alice";
    info.password = Secret("wonder'land");
    info.database = "app";
    return pgclient::Connection::open(info, Deadline::after(seconds(15)));
  }

  // Sends bytes to the proxy and reads until it closes.
  std::string raw(std::string_view bytes) {
    auto fd = net::start_connect(*net::Address::parse("127.0.0.1", proxy_->port()));
    if (!fd) return "not connected";
    pollfd waiting = {fd->get(), POLLOUT, 0};
    if (::poll(&waiting, 1, 5000) != 1) return "not connected";
    auto stream = net::plain_stream(std::move(*fd));
    stream->write(bytes);
    std::string answer;
    char buffer[4096];
    const Deadline deadline = Deadline::after(seconds(5));
    while (!deadline.expired()) {
      waiting = {stream->fd(), POLLIN, 0};
      if (::poll(&waiting, 1, deadline.poll_ms()) != 1) return answer + " (still open)";
      const net::IoResult got = stream->read(buffer, sizeof buffer);
      if (got.kind == net::IoResult::Kind::kDone) answer.append(buffer, got.count);
      if (got.kind == net::IoResult::Kind::kClosed || got.kind == net::IoResult::Kind::kFailed) return answer;
    }
    return answer + " (timeout)";
  }

  bool reaches(const std::function<bool()>& condition) {
    const Deadline deadline = Deadline::after(seconds(10));
    while (!condition()) {
      if (deadline.expired()) return false;
      std::this_thread::sleep_for(milliseconds(2));
    }
    return true;
  }

  static inline std::unique_ptr<Postgres> postgres_;
  std::unique_ptr<Proxy> proxy_;
};

}  // namespace pgb::proxy
