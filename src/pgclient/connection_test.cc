// Against a real PostgreSQL server that this test makes for itself and throws away.
#include "pgclient/connection.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace pgb::pgclient {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

Deadline soon() { return Deadline::after(seconds(20)); }

std::string newest_bin() {
  int best = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
    if (fs::exists(entry.path() / "bin/initdb")) best = std::max(best, atoi(entry.path().filename().c_str()));
  }
  return best == 0 ? "" : "/usr/lib/postgresql/" + std::to_string(best) + "/bin";
}

uint16_t free_port() {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

class Server {
 public:
  Server() {
    char name[] = "/tmp/pgclient_test.XXXXXX";
    dir_ = mkdtemp(name);
    bin_ = newest_bin();
    port_ = free_port();
    std::string user = geteuid() == 0 ? "setpriv --reuid=postgres --regid=postgres --clear-groups " : "";
    if (geteuid() == 0) run("chown postgres " + dir_);
    std::ofstream(dir_ + "/pw") << "owner pw\n";
    fs::permissions(dir_ + "/pw", fs::perms(0644));
    ok_ = !bin_.empty() &&
          run("cd / && " + user + bin_ + "/initdb -D " + dir_ + "/data -U owner -A scram-sha-256 --pwfile=" + dir_ +
              "/pw -N --no-locale -E UTF8 >" + dir_ + "/initdb.log 2>&1");
    if (!ok_) return;
    std::ofstream(dir_ + "/data/pg_hba.conf")
        << "local all cleartext password\nlocal all all trust\n"
           "host all legacy 127.0.0.1/32 md5\nhost all cleartext 127.0.0.1/32 password\n"
           "host replication all 127.0.0.1/32 scram-sha-256\n"
           "host all all 127.0.0.1/32 scram-sha-256\n";
    ok_ = run("cd / && " + user + bin_ + "/pg_ctl -w -s -D " + dir_ + "/data -l " + dir_ + "/log -o '-p " +
              std::to_string(port_) + " -k " + dir_ +
              " -c listen_addresses=127.0.0.1 -c fsync=off' start >/dev/null 2>&1");
    stop_ = "cd / && " + user + bin_ + "/pg_ctl -w -s -m immediate -D " + dir_ + "/data stop >/dev/null 2>&1";
  }
  ~Server() {
    if (!stop_.empty()) run(stop_);
    std::error_code ignored;
    fs::remove_all(dir_, ignored);
  }
  bool ok() const { return ok_; }
  ConnInfo info(const std::string& user, const std::string& password) const {
    ConnInfo info;
    info.host = "127.0.0.1";
    info.port = port_;
    info.user = user;
    info.password = Secret(password);
    info.database = "postgres";
    return info;
  }
  ConnInfo local(const std::string& user, const std::string& password) const {
    ConnInfo result = info(user, password);
    result.host = dir_;
    return result;
  }
  // A certificate for 10.0.0.1, signed by itself, that the server uses once it is told `ssl = on`.
  bool make_certificate() const {
    const std::string files = dir_ + "/data/server.";
    return run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -addext subjectAltName=IP:10.0.0.1 -keyout " +
        files + "key -out " + files + "crt 2>/dev/null && chown --reference=" + dir_ + "/data " + files + "key " +
        files + "crt && chmod 600 " + files + "key && cp " + files + "crt " + dir_ + "/ca.pem");
  }
  std::string certificate() const { return dir_ + "/ca.pem"; }

 private:
  static bool run(const std::string& command) { return system(command.c_str()) == 0; }
  std::string dir_, bin_, stop_;
  uint16_t port_ = 0;
  bool ok_ = false;
};

class ConnectionTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = std::make_unique<Server>();
    ASSERT_TRUE(server_->ok()) << "this test needs initdb and pg_ctl in /usr/lib/postgresql/<version>/bin";
    auto owner = Connection::open(server_->info("owner", "owner pw"), soon());
    ASSERT_TRUE(owner.ok()) << owner.error().message;
    auto made = (*owner)->query(
        "SET password_encryption = 'md5'; CREATE ROLE legacy LOGIN PASSWORD 'old'; RESET password_encryption;"
        "CREATE ROLE cleartext LOGIN PASSWORD 'clear'",
        soon());
    ASSERT_TRUE(made.ok()) << made.error().message;
  }
  static void TearDownTestSuite() { server_.reset(); }

  static std::unique_ptr<Connection> owner() {
    auto connection = Connection::open(server_->info("owner", "owner pw"), soon());
    if (!connection) {
      ADD_FAILURE() << connection.error().message;
      return nullptr;
    }
    return std::move(*connection);
  }
  static std::unique_ptr<Server> server_;
};
std::unique_ptr<Server> ConnectionTest::server_;

std::string sqlstate_of(const Error& error) {
  for (const auto& [label, text] : error.details) {
    if (label == "sqlstate") return text;
  }
  return "";
}

TEST_F(ConnectionTest, LogsInWithScramAndReportsParameters) {
  auto connection = owner();
  ASSERT_TRUE(connection);
  EXPECT_EQ(connection->parameters().at("in_hot_standby"), "off");
  EXPECT_EQ(connection->parameters().at("application_name"), "pgbalancer");
}

TEST_F(ConnectionTest, SpeaksTlsAsFarAsItIsAsked) {
  ASSERT_TRUE(server_->make_certificate());
  ConnInfo info = server_->info("owner", "owner pw");
  const auto ask = [&](net::TlsVerify verify, const std::string& host) -> std::string {
    net::TlsClientFiles files;
    files.verify = verify;
    files.ca_file = server_->certificate();
    auto context = net::TlsContext::client(files);
    if (!context) return context.error().message;
    info.tls = {*context, true};
    info.tls_host = host;
    auto connection = Connection::open(info, soon());
    if (!connection) return connection.error().message;
    auto rows =
        (*connection)
            ->query("SELECT ssl, length(repeat('x', 100000)) FROM pg_stat_ssl WHERE pid = pg_backend_pid()", soon());
    return rows ? (*rows)[0].get(0, "ssl") : rows.error().message;
  };
  EXPECT_NE(ask(net::TlsVerify::kNothing, "").find("offers no TLS"), std::string::npos);
  ASSERT_TRUE(owner()->query("ALTER SYSTEM SET ssl = on", soon()).ok());
  ASSERT_TRUE(owner()->query("SELECT pg_reload_conf()", soon()).ok());
  const Deadline deadline = soon();
  while (ask(net::TlsVerify::kNothing, "") != "t" && !deadline.expired()) continue;
  EXPECT_EQ(ask(net::TlsVerify::kNothing, ""), "t");
  EXPECT_EQ(ask(net::TlsVerify::kChain, "other.example"), "t");
  EXPECT_EQ(ask(net::TlsVerify::kHost, "10.0.0.1"), "t");
  const std::string refused = ask(net::TlsVerify::kHost, "");  // 127.0.0.1
  EXPECT_NE(refused.find("IP address mismatch"), std::string::npos) << refused;
  EXPECT_NE(refused.find("127.0.0.1:"), std::string::npos) << refused;
}

TEST_F(ConnectionTest, LogsInWithMd5) {
  auto connection = Connection::open(server_->info("legacy", "old"), soon());
  ASSERT_TRUE(connection.ok()) << connection.error().message;
  EXPECT_EQ((*(*connection)->query("SELECT current_user", soon()))[0].get(0, "current_user"), "legacy");
}

TEST_F(ConnectionTest, LogsInOverTheUnixSocket) {
  EXPECT_TRUE(Connection::open(server_->local("owner", ""), soon()).ok());
}

TEST_F(ConnectionTest, SendsACleartextPasswordOverTheUnixSocketOnly) {
  EXPECT_TRUE(Connection::open(server_->local("cleartext", "clear"), soon()).ok());
  auto refused = Connection::open(server_->info("cleartext", "clear"), soon());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kAuth);
}

TEST_F(ConnectionTest, TellsAWrongPasswordFromAMissingDatabase) {
  auto wrong = Connection::open(server_->info("owner", "guess"), soon());
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, Code::kAuth);
  EXPECT_EQ(sqlstate_of(wrong.error()), "28P01");
  auto info = server_->info("owner", "owner pw");
  info.database = "absent";
  auto absent = Connection::open(info, soon());
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().code, Code::kSql);
  EXPECT_EQ(sqlstate_of(absent.error()), "3D000");
}

TEST_F(ConnectionTest, GivesAResultForEachStatement) {
  auto connection = owner();
  ASSERT_TRUE(connection);
  auto results =
      connection->query("SELECT 1 AS a, NULL AS b; CREATE TEMP TABLE t(x int); INSERT INTO t VALUES (1),(2)", soon());
  ASSERT_TRUE(results.ok()) << results.error().message;
  ASSERT_EQ(results->size(), 3u);
  const auto& first = (*results)[0];
  EXPECT_EQ(first.columns, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(first.get(0, "a"), "1");
  EXPECT_FALSE(first.rows[0][1].has_value());
  EXPECT_EQ(first.get(0, "none") + first.get(9, "a"), "");
  EXPECT_EQ((*results)[2].command_tag, "INSERT 0 2");
}

TEST_F(ConnectionTest, GoesOnAfterAnSqlError) {
  auto connection = owner();
  ASSERT_TRUE(connection);
  for (const char* sql : {"SELECT 1/0", "COPY (SELECT 1) TO STDOUT", "CREATE TEMP TABLE c(x int); COPY c FROM STDIN"}) {
    auto failed = connection->query(sql, soon());
    EXPECT_FALSE(failed.ok()) << sql;
  }
  EXPECT_EQ(sqlstate_of(connection->query("SELECT 1/0", soon()).error()), "22012");
  auto again = connection->query("SELECT 2 AS n", soon());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)[0].get(0, "n"), "2");
}

TEST_F(ConnectionTest, TakesALargeAnswerAndALargeStatement) {
  auto connection = owner();
  ASSERT_TRUE(connection);
  auto rows = connection->query("SELECT repeat('x', 1000) FROM generate_series(1, 2000)", soon());
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ((*rows)[0].rows.size(), 2000u);
  auto echo = connection->query("SELECT length(" + quote_literal(std::string(3000000, 'y')) + ") AS n", soon());
  ASSERT_TRUE(echo.ok());
  EXPECT_EQ((*echo)[0].get(0, "n"), "3000000");
}

TEST_F(ConnectionTest, KeepsTheDeadlineAndIsDeadAfterwards) {
  auto connection = owner();
  ASSERT_TRUE(connection);
  auto start = std::chrono::steady_clock::now();
  auto late = connection->query("SELECT pg_sleep(30)", Deadline::after(milliseconds(200)));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, Code::kTimeout);
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(10));
  EXPECT_FALSE(connection->query("SELECT 1", soon()).ok());
}

TEST_F(ConnectionTest, SaysWhyTheServerEndedTheSession) {
  auto connection = owner();
  ASSERT_TRUE(connection);
  auto ended = connection->query("SELECT pg_terminate_backend(pg_backend_pid())", soon());
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(sqlstate_of(ended.error()), "57P01");
  EXPECT_EQ(connection->query("SELECT 1", soon()).error().code, Code::kIo);
}

TEST_F(ConnectionTest, SpeaksTheReplicationProtocol) {
  auto info = server_->info("owner", "owner pw");
  info.replication = true;
  for (const std::string database : {"", "postgres"}) {
    info.database = database;
    auto connection = Connection::open(info, soon());
    ASSERT_TRUE(connection.ok()) << connection.error().message;
    auto identity = (*connection)->query("IDENTIFY_SYSTEM", soon());
    ASSERT_TRUE(identity.ok()) << identity.error().message;
    EXPECT_EQ((*identity)[0].get(0, "timeline"), "1");
    EXPECT_FALSE((*identity)[0].get(0, "systemid").empty());
    EXPECT_EQ((*connection)->query("SELECT 1", soon()).ok(), !database.empty()) << "SQL needs a database";
  }
}

TEST_F(ConnectionTest, QuotesWhatTheServerReadsBack) {
  auto connection = owner();
  ASSERT_TRUE(connection);
  for (const char* text : {"it's", "back\\slash '\\'", "", "\xc3\xa4"}) {
    auto back = connection->query("SELECT " + quote_literal(text) + " AS " + quote_identifier("a \"b\" c"), soon());
    ASSERT_TRUE(back.ok()) << back.error().message;
    EXPECT_EQ((*back)[0].get(0, "a \"b\" c"), text);
  }
}

TEST(Connection, SaysThatNobodyAnswers) {
  ConnInfo info;
  info.port = free_port();
  info.user = "u";
  for (const char* host : {"127.0.0.1", "localhost", "/nonexistent"}) {
    info.host = host;
    auto none = Connection::open(info, soon());
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().code, Code::kUnreachable) << host;
  }
  info.host = "some.name.invalid";
  EXPECT_EQ(Connection::open(info, soon()).error().code, Code::kConfig);
}

TEST(Connection, GivesUpOnAServerThatKeepsSilent) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ConnInfo info;
  info.host = "127.0.0.1";
  info.port = ntohs(address.sin_port);
  info.user = "u";
  auto silent = Connection::open(info, Deadline::after(milliseconds(100)));
  close(fd);
  ASSERT_FALSE(silent.ok());
  EXPECT_EQ(silent.error().code, Code::kTimeout);
}

}  // namespace
}  // namespace pgb::pgclient
