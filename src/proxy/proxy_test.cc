// What one client of the proxy sees of a real PostgreSQL server: logins, bytes, cancelling, TLS.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "net/tls_context.h"
#include "os/file.h"
#include "os/subprocess.h"
#include "proxy/proxy_for_tests.h"

namespace pgb::proxy {
namespace {

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

}  // namespace
}  // namespace pgb::proxy
