#include "proxy/server_basics.h"

#include <gtest/gtest.h>

#include <thread>

#include "proxy/postgres_for_tests.h"

namespace pgb::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ServerBasicsTest, WorkersAreNoConnections) {
  auto made = Postgres::create();
  ASSERT_TRUE(made) << made.error().message;
  const Postgres& postgres = **made;
  const Deadline limit = Deadline::after(seconds(60));
  auto asker = postgres.admin(limit), other = postgres.admin(limit);
  ASSERT_TRUE(asker && other);
  const auto connections = [&]() -> uint64_t {
    auto basics = ask_basics(**asker, limit);
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
