// The proxy in front of a real PostgreSQL server, used by the real psql.
#include "proxy/proxy.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "net/socket.h"
#include "os/file.h"
#include "os/subprocess.h"
#include "pgclient/connection.h"
#include "proxy/health.h"
#include "proxy/postgres_for_tests.h"

namespace pgb::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ProxyTest : public ::testing::Test {
 protected:
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

  static std::unique_ptr<Postgres> postgres_;
  std::unique_ptr<Proxy> proxy_;
};
std::unique_ptr<Postgres> ProxyTest::postgres_;

TEST_F(ProxyTest, AUserLogsInAndQueriesTheServerItself) {
  start();
  const auto result =
      psql("SELECT current_user, current_database(), inet_server_port(), current_setting('application_name')", "alice",
           "wonder'land", "sslmode=disable application_name=shop options='-c work_mem=3MB'");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "alice|app|" + std::to_string(postgres_->port()) + "|shop\n");
  EXPECT_EQ(psql("SHOW work_mem", "alice", "wonder'land", "sslmode=disable options='-c work_mem=3MB'").out, "3MB\n");
  EXPECT_GT(proxy_->stats().bytes_from_servers, 0u);
  EXPECT_TRUE(reaches([&] { return proxy_->stats().clients == 0; }));
  const Stats stats = proxy_->stats();
  EXPECT_EQ(stats.servers, stats.nodes.at("primary1").servers);
  EXPECT_GE(stats.servers, 1u);  // kept for the next client
  EXPECT_LE(stats.servers, 2u);  // one for each thread
}

TEST_F(ProxyTest, AWrongPasswordAndAnUnknownUserLookTheSame) {
  start();
  for (const char* user : {"alice", "nobody", "nopass", "'it\\'s me'"}) {  // the last needs quoting in SQL
    const auto result = psql("SELECT 1", user, "wrong");
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_NE(result.err.find("password authentication failed for user"), std::string::npos) << result.err;
  }
  EXPECT_EQ(proxy_->stats().sessions_total, 0u);
  EXPECT_EQ(psql("SELECT 1").out, "1\n");
}

TEST_F(ProxyTest, TheServersOwnRefusalReachesTheClient) {
  start();
  const auto result = psql("SELECT 1", "alice", "wonder'land", "sslmode=disable dbname=nowhere");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("database \"nowhere\" does not exist"), std::string::npos) << result.err;
}

TEST_F(ProxyTest, MegabytesGoThroughUnchangedBothWays) {
  start();
  const auto out = psql("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT");
  EXPECT_EQ(out.exit_code, 0) << out.err;
  EXPECT_EQ(out.out.size(), 20000u * 1001u);
  std::string rows;
  for (int i = 0; i < 200'000; ++i) rows += std::to_string(i) + "\n";
  ASSERT_EQ(psql("CREATE TABLE numbers (n bigint)").exit_code, 0);
  EXPECT_EQ(psql("COPY numbers FROM STDIN", "alice", "wonder'land", "sslmode=disable", rows).exit_code, 0);
  EXPECT_EQ(psql("SELECT count(*), sum(n) FROM numbers").out, "200000|19999900000\n");
}

TEST_F(ProxyTest, ACancelReachesTheQueryThatWasMeant) {
  start();
  os::SpawnOptions options;
  options.argv = {"psql", "-XAtq",
                  "-v",   "VERBOSITY=verbose",
                  "-d",   "host=127.0.0.1 dbname=app user=alice sslmode=disable port=" + std::to_string(proxy_->port()),
                  "-c",   "SELECT pg_sleep(30)"};
  options.env = {"PGPASSWORD=wonder'land"};
  options.stderr_file = postgres_->dir() + "/cancelled";
  auto psql_pid = os::spawn(options);
  ASSERT_TRUE(psql_pid);
  auto watcher = postgres_->admin(Deadline::after(seconds(5)));
  ASSERT_TRUE(watcher);
  EXPECT_TRUE(reaches([&] {
    auto rows =
        (*watcher)->query("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'",
                          Deadline::after(seconds(5)));
    return rows && !(*rows)[0].rows.empty();
  }));
  const auto start_time = std::chrono::steady_clock::now();
  ::kill(*psql_pid, SIGINT);
  int status = 0;
  ::waitpid(*psql_pid, &status, 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start_time, seconds(10));
  EXPECT_NE(os::read_file(postgres_->dir() + "/cancelled")->find("57014"), std::string::npos);
}

TEST_F(ProxyTest, TlsIsSpokenWhenThereIsACertificateAndRefusedWhenNot) {
  start();
  EXPECT_NE(psql("SELECT 1", "alice", "wonder'land", "sslmode=require").exit_code, 0);
  const std::string cert = postgres_->dir() + "/cert.pem", key = postgres_->dir() + "/key.pem";
  os::SpawnOptions options;
  options.argv = {"openssl",
                  "req",
                  "-x509",
                  "-newkey",
                  "ec",
                  "-pkeyopt",
                  "ec_paramgen_curve:prime256v1",
                  "-nodes",
                  "-days",
                  "2",
                  "-subj",
                  "/CN=localhost",
                  "-keyout",
                  key,
                  "-out",
                  cert};
  ASSERT_EQ(os::run(options, Deadline::after(seconds(20)))->exit_code, 0);
  auto tls = net::TlsContext::server(cert, key);
  ASSERT_TRUE(tls) << tls.error().message;
  Settings how = settings();
  TlsSetup setup;
  setup.to_clients = *tls;
  how.tls->set(setup);
  start(how, topology(postgres_->port()));
  EXPECT_EQ(psql("SELECT 1", "alice", "wonder'land", "sslmode=require").out, "1\n");
  EXPECT_EQ(psql("SELECT 2", "alice", "wonder'land", "sslmode=disable").out, "2\n");
  const auto big = psql("SELECT repeat('y', 5000000)", "alice", "wonder'land", "sslmode=require");
  EXPECT_EQ(big.out.size(), 5'000'001u) << big.err;
}

// Nothing but the pool has to do with the server here: topology and passwords are given.
TEST_F(ProxyTest, AServerWithoutTheTlsThatIsRequiredIsNamedAtOnce) {
  Settings how = settings();
  how.users.emplace("alice", Secret("wonder'land"));
  how.server_timeout = seconds(30);
  auto context = net::TlsContext::client({});
  ASSERT_TRUE(context) << context.error().message;
  TlsSetup setup;
  setup.to_servers = {*context, true};
  how.tls->set(setup);
  start(how, topology(postgres_->port()));
  const auto before = std::chrono::steady_clock::now();
  const auto refused = psql("SELECT 1");
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(10));
  EXPECT_NE(refused.err.find("cannot log in to the server primary1"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("offers no TLS"), std::string::npos) << refused.err;
  setup.to_servers.required = false;
  how.tls->set(setup);
  EXPECT_EQ(psql("SELECT 1").out, "1\n") << "a server that offers none is good enough now";
}

TEST_F(ProxyTest, GarbageGetsAnErrorResponseAndTheNextClientIsServed) {
  start();
  EXPECT_EQ(raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n").substr(0, 1), "E");
  const std::string zeros = raw(std::string(64, '\0'));
  EXPECT_EQ(zeros.substr(0, 1), "E");
  EXPECT_NE(zeros.find("08P01"), std::string::npos);
  EXPECT_NE(raw(std::string("\0\0\0\x8\0\x1\0\0", 8)).find("FATAL"), std::string::npos);  // protocol 1
  EXPECT_EQ(raw(std::string(200'000, '\xff')).substr(0, 1), "E");
  EXPECT_EQ(raw(std::string("\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2", 16)), "");  // a cancel for nobody
  EXPECT_EQ(psql("SELECT 1").out, "1\n");
}

TEST_F(ProxyTest, AClientTooManyIsToldAndAPlaceThatIsFreedIsUsed) {
  Settings how = settings();
  how.pool.max_clients = 2;
  start(how, topology(postgres_->port()));
  auto one = client();
  auto two = client();
  ASSERT_TRUE(one) << one.error().message;
  ASSERT_TRUE(two) << two.error().message;
  const auto refused = psql("SELECT 1");
  EXPECT_NE(refused.err.find("too many clients"), std::string::npos) << refused.err;
  one->reset();
  EXPECT_TRUE(reaches([&] { return proxy_->stats().clients == 1; }));
  EXPECT_EQ(psql("SELECT 1").out, "1\n");
}

TEST_F(ProxyTest, TwoHundredClientsAtOnceAllGetTheirOwnAnswer) {
  Settings how = settings();
  how.pool.max_clients = 200;
  how.server_timeout = seconds(30);
  start(how, topology(postgres_->port()));
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::unique_ptr<pgclient::Connection>> connections;
      for (int i = 0; i < 25; ++i) {
        auto connection = client();
        if (!connection) {
          ADD_FAILURE() << connection.error().message;
          continue;
        }
        connections.push_back(std::move(*connection));
      }
      for (size_t i = 0; i < connections.size(); ++i) {
        const std::string number = std::to_string(t * 1000 + static_cast<int>(i));
        auto rows = connections[i]->query("SELECT " + number + " AS n", Deadline::after(seconds(10)));
        if (rows && (*rows)[0].get(0, "n") == number) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 200);
}

TEST_F(ProxyTest, WithoutAPrimaryTheErrorNamesTheNodeAndANewTopologyHelpsAtOnce) {
  Settings how = settings();
  how.server_timeout = milliseconds(300);
  start(how, topology(postgres_->port(), false));
  const auto refused = psql("SELECT 1");
  EXPECT_NE(refused.err.find("primary1"), std::string::npos) << refused.err;
  how.server_timeout = seconds(30);
  start(how, topology(postgres_->port(), false));
  std::thread later([&] {
    std::this_thread::sleep_for(milliseconds(200));  // the login waits by now; should it come later, it must work, too
    proxy_->apply(topology(postgres_->port()));
  });
  EXPECT_EQ(psql("SELECT 1").out, "1\n");
  later.join();
}

TEST_F(ProxyTest, ATransactionWhoseServerDiesIsRolledBackAndItsClientGoesOn) {
  start();
  auto connection = client();
  ASSERT_TRUE(connection);
  ASSERT_TRUE((*connection)->query("BEGIN", Deadline::after(seconds(5))));  // outside one, another server would do
  auto pid = (*connection)->query("SELECT pg_backend_pid() AS pid", Deadline::after(seconds(5)));
  ASSERT_TRUE(pid);
  const int backend = std::atoi((*pid)[0].get(0, "pid").c_str());
  ::kill(backend, SIGKILL);  // says nothing; the postmaster restarts all others
  auto lost = (*connection)->query("SELECT 1", Deadline::after(seconds(10)));
  ASSERT_FALSE(lost);
  std::string text = lost.error().message;
  for (const auto& [label, detail] : lost.error().details) text += " " + label + ": " + detail;
  EXPECT_NE(text.find("40001"), std::string::npos) << text;
  EXPECT_NE(text.find("primary1"), std::string::npos) << text;
  EXPECT_TRUE((*connection)->query("ROLLBACK", Deadline::after(seconds(5))));
  auto again = (*connection)->query("SELECT 7 AS n", Deadline::after(seconds(10)));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ((*again)[0].get(0, "n"), "7");
  EXPECT_EQ(proxy_->stats().clients, 1u);
}

TEST_F(ProxyTest, TheBellBringsAProbeLongBeforeItsTime) {
  HealthSettings how;
  how.user = "pgbalancer";
  how.password = Secret("balance");
  how.interval = seconds(600);
  auto first = std::make_shared<TopologySnapshot>(*topology(postgres_->port(), false));
  const std::shared_ptr<NodeGauge> gauge = first->nodes[0].gauge;
  HealthMonitor monitor(how, first, [](const TopologyPtr&) {});
  EXPECT_TRUE(reaches([&] { return gauge->caught_up_ns > 0; }));
  const int64_t now = std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  gauge->eject(now);
  how.bell->ring(now);
  EXPECT_TRUE(reaches([&] { return gauge->caught_up_ns > now && gauge->ejected_until_ns == 0; }));
}

TEST_F(ProxyTest, APauseHoldsNewWorkAndClosesServersUntilItEnds) {
  start();
  auto connection = client();
  ASSERT_TRUE(connection) << connection.error().message;
  const auto query = [&](const std::string& sql, int seconds_at_most = 10) {
    return (*connection)->query(sql, Deadline::after(seconds(seconds_at_most)));
  };
  ASSERT_TRUE(query("BEGIN"));
  Outcome outcome = proxy_->pause("app", milliseconds(100));
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(outcome.busy, 1u) << outcome.text;
  ASSERT_TRUE(query("COMMIT")) << "what was begun may end";
  outcome = proxy_->pause("app", seconds(5));
  EXPECT_TRUE(outcome.done) << outcome.text;
  EXPECT_TRUE(proxy_->servers().empty());
  std::atomic<bool> answered{false};
  std::thread waits([&] {
    const auto answer = query("SELECT 1");
    EXPECT_TRUE(answer) << answer.error().message;
    answered = true;
  });
  EXPECT_TRUE(reaches([&] {
    const auto clients = proxy_->clients();
    return clients.size() == 1 && clients[0].state == "paused";
  }));
  EXPECT_FALSE(answered);
  EXPECT_TRUE(proxy_->resume("app"));
  waits.join();
  proxy_->pause("", milliseconds(0));
  EXPECT_EQ(proxy_->resume("app").error().code, Code::kUsage);
  EXPECT_TRUE(proxy_->resume(""));
  EXPECT_TRUE(query("SELECT 1"));
}

TEST_F(ProxyTest, WhoLeavesIsCalledQuietOnlyWhenNothingIsUnderWayHoweverOftenItAsks) {
  start();
  auto connection = client();
  ASSERT_TRUE(connection) << connection.error().message;
  const auto query = [&](const std::string& sql) { return (*connection)->query(sql, Deadline::after(seconds(10))); };
  ASSERT_TRUE(query("BEGIN"));
  EXPECT_FALSE(proxy_->let_leave("primary1", milliseconds(50)));
  EXPECT_FALSE(proxy_->let_leave("primary1", milliseconds(50))) << "the transaction is still open";
  ASSERT_TRUE(query("COMMIT"));
  EXPECT_TRUE(proxy_->let_leave("primary1", seconds(5)));
  EXPECT_TRUE(proxy_->let_leave("", milliseconds(0)));
  EXPECT_TRUE(query("SELECT 1"));
}

TEST_F(ProxyTest, AnotherProxyTakesOverItsSockets) {
  start();
  auto old_client = client();
  ASSERT_TRUE(old_client) << old_client.error().message;
  std::vector<os::UniqueFd> listeners;
  for (const int fd : proxy_->listeners()) listeners.emplace_back(::dup(fd));
  Settings how = settings();
  how.threads = 1;  // has to serve both sockets
  auto second = Proxy::start(how, topology(postgres_->port()), std::move(listeners));
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ((*second)->port(), proxy_->port());
  proxy_->accept(false);
  std::vector<std::thread> early;  // they connect while nobody takes them
  for (int i = 0; i < 8; ++i) {
    early.emplace_back([this] {
      const auto made = client();
      EXPECT_TRUE(made) << made.error().message;
    });
  }
  Orders orders;
  orders.drained = {"elsewhere"};
  (*second)->inherit(orders);
  EXPECT_EQ((*second)->orders()->drained.count("elsewhere"), 1u);
  (*second)->accept(true);
  proxy_->hand_over();
  for (std::thread& thread : early) thread.join();
  EXPECT_EQ(proxy_->stats().clients, 1u) << "the old one took none of them";

  EXPECT_TRUE((*old_client)->query("SELECT 1", Deadline::after(seconds(5))));
  (*second)->stop();
}

TEST_F(ProxyTest, HealthFollowsTheServerAndStopTellsTheClients) {
  HealthSettings how;
  how.user = "pgbalancer";
  how.password = Secret("balance");
  how.interval = milliseconds(50);
  auto first = std::make_shared<TopologySnapshot>(*topology(postgres_->port(), false));
  first->nodes[0].role = NodeRole::kUnknown;
  start(settings(), first);
  HealthMonitor monitor(how, first, [&](TopologyPtr now) { proxy_->apply(std::move(now)); });
  EXPECT_TRUE(reaches([&] { return proxy_->topology()->primary() != nullptr; }));
  postgres_->kill();
  EXPECT_TRUE(reaches([&] { return proxy_->topology()->primary() == nullptr; }));
  EXPECT_FALSE(proxy_->topology()->nodes[0].last_error.empty());
  const Status again = postgres_->start();
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_TRUE(reaches([&] { return proxy_->topology()->primary() != nullptr; }));
  auto connection = client();
  ASSERT_TRUE(connection) << connection.error().message;
  const auto before = std::chrono::steady_clock::now();
  proxy_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(1));
  auto told = (*connection)->query("SELECT 1", Deadline::after(seconds(5)));
  ASSERT_FALSE(told);
  EXPECT_NE(told.error().message.find("shutting down"), std::string::npos) << told.error().message;
}

}  // namespace
}  // namespace pgb::proxy
