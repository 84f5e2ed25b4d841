#include "proxy/server_basics.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "proxy/postgres_for_tests.h"

namespace pgb::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ServerBasicsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto made = Postgres::create();
    ASSERT_TRUE(made) << made.error().message;
    postgres_ = std::move(*made);
  }
  static void TearDownTestSuite() { postgres_.reset(); }
  void SetUp() override { ASSERT_TRUE(postgres_); }

  // A machine that has much to do may be slow once.
  static Result<ServerBasics> asked(pgclient::Connection& connection, Deadline limit) {
    auto basics = ask_basics(connection, limit);
    while (!basics && basics.error().code == Code::kSql && !limit.expired()) basics = ask_basics(connection, limit);
    return basics;
  }

  static std::unique_ptr<Postgres> postgres_;
};

std::unique_ptr<Postgres> ServerBasicsTest::postgres_;

// The connection that asks how the server is must not be lost with it.
TEST_F(ServerBasicsTest, AServerThatIsSlowToTellKeepsTheConnection) {
  const Deadline limit = Deadline::after(seconds(60));
  auto asker = postgres_->admin(limit), other = postgres_->admin(limit);
  ASSERT_TRUE(asker && other);
  ASSERT_TRUE((*other)->query("BEGIN; LOCK TABLE pg_catalog.pg_replication_slots", limit));
  const auto basics = ask_basics(**asker, Deadline::after(seconds(20)));
  ASSERT_FALSE(basics);
  EXPECT_EQ(basics.error().code, Code::kSql) << basics.error().message;
  const auto after = (*asker)->query("SHOW statement_timeout", limit);
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ((*after)[0].get(0, "statement_timeout"), "0");
  ASSERT_TRUE((*other)->query("ROLLBACK", limit));
  EXPECT_TRUE(asked(**asker, limit));
  EXPECT_EQ((*(*asker)->query("SHOW statement_timeout", limit))[0].get(0, "statement_timeout"), "0");
}

TEST_F(ServerBasicsTest, DatabasesAreThoseThatTakeConnections) {
  const Deadline limit = Deadline::after(seconds(60));
  auto asker = postgres_->admin(limit);
  ASSERT_TRUE(asker);
  ASSERT_TRUE((*asker)->query("CREATE DATABASE \"My Shop\"", limit));
  const auto basics = asked(**asker, limit);
  ASSERT_TRUE(basics) << basics.error().message;
  ASSERT_TRUE(basics->databases);
  EXPECT_EQ(basics->databases->count("My Shop"), 1u);
  EXPECT_EQ(basics->databases->count("postgres"), 1u);
  EXPECT_EQ(basics->databases->count("template0"), 0u);
  EXPECT_EQ(basics->databases->count("nodb"), 0u);
}

TEST_F(ServerBasicsTest, WorkersAreNoConnections) {
  const Deadline limit = Deadline::after(seconds(60));
  auto asker = postgres_->admin(limit), other = postgres_->admin(limit);
  ASSERT_TRUE(asker && other);
  const auto connections = [&]() -> uint64_t {
    const auto basics = asked(**asker, limit);
    EXPECT_TRUE(basics) << basics.error().message;
    return basics ? basics->connections : 0;
  };
  const auto workers = [&] {
    auto found =
        (*asker)->query("SELECT count(*) AS n FROM pg_stat_activity WHERE backend_type = 'parallel worker'", limit);
    return found ? (*found)[0].get(0, "n") : "";
  };
  // Whoever was connected while the server was made may be about to leave.
  while (connections() != 2 && !limit.expired()) std::this_thread::sleep_for(milliseconds(20));
  ASSERT_EQ(connections(), 2u);

  std::thread busy([&] {
    auto done = (*other)->query(
        "SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', "
        "'debug_parallel_query'); SELECT pg_sleep(3)",
        limit);
    EXPECT_TRUE(done) << done.error().message;
  });
  while (workers() != "1" && !limit.expired()) std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(connections(), 2u);
  EXPECT_EQ(workers(), "1") << "it was there all the time";
  busy.join();
}

}  // namespace
}  // namespace pgb::proxy
