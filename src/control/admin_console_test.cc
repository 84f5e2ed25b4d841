#include "control/admin_console.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "base/deadline.h"
#include "control/fake_proxy.h"

namespace pgb::control {
namespace {

using proxy::ConsoleAnswer;

std::vector<std::string> texts(std::string_view command) {
  std::vector<std::string> out;
  const auto words = words_of(command);
  if (!words) return {"error: " + words.error().message};
  for (const Word& word : *words) out.push_back(word.text + (word.quoted ? "!" : ""));
  return out;
}

TEST(ConsoleSyntax, AWordIsLowerCaseUnlessItIsQuoted) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(texts("SHOW Pools;"), (Texts{"show", "pools"}));
  EXPECT_EQ(texts("  -- it\n PAUSE /* a */ \"My \"\"Shop\" ; ;"), (Texts{"pause", "My \"Shop!"}));
  EXPECT_EQ(texts("drain n1 limit=10"), (Texts{"drain", "n1", "limit", "=", "10"}));
  EXPECT_EQ(texts("kill 'it''s'"), (Texts{"kill", "it's!"}));
  EXPECT_EQ(texts(" ;\n-- no more"), Texts());
}

TEST(ConsoleSyntax, WhatIsNoSingleCommandIsRefused) {
  const std::string zero("a\0b", 3);
  for (const std::string_view text : {std::string_view("PAUSE; RESUME"), std::string_view("KILL \"shop"),
                                      std::string_view("/* never ends"), std::string_view(zero)}) {
    EXPECT_FALSE(words_of(text)) << text;
  }
  EXPECT_FALSE(words_of(std::string(1000, ' ') + std::string("a ").append(std::string(200, 'a')) + [] {
    std::string many;
    for (int i = 0; i < 65; ++i) many += " a";
    return many;
  }()));
}

class AdminConsoleTest : public ::testing::Test {
 protected:
  AdminConsoleTest() {
    config_.admin_users = {"boss"};
    config_.stats_users = {"watcher"};
    config_.token = Secret("very secret");
  }
  ConsoleAnswer ask(const std::string& text, const std::string& user = "boss", bool at_console = true) {
    std::promise<ConsoleAnswer> answer;
    console_.ask({user, "127.0.0.1:1", at_console}, text, [&](ConsoleAnswer a) { answer.set_value(std::move(a)); });
    return answer.get_future().get();
  }
  std::string error_of(const std::string& text, const std::string& user = "boss", bool at_console = true) {
    const ConsoleAnswer answer = ask(text, user, at_console);
    return answer.error ? answer.error->sqlstate + " " + answer.error->message : "none";
  }
  // Of the first row.
  std::string value(const ConsoleAnswer& answer, const std::string& column) {
    for (size_t i = 0; i < answer.columns.size(); ++i) {
      if (answer.columns[i].name == column) return answer.rows.at(0).at(i).value_or("null");
    }
    return "there is no column " + column;
  }

  FakeProxy proxy_;
  BalancerConfig config_;
  std::optional<bool> waits_;
  AdminConsole console_{Actions{proxy_, [] { return Status(); }, [this](bool wait) { waits_ = wait; }},
                        [this] { return std::make_shared<const BalancerConfig>(config_); }};
};

TEST_F(AdminConsoleTest, EveryTableHasAsManyValuesAsColumnsAndIsDescribedAsItIsAnswered) {
  for (const auto* views : {&console_views(), &pgpool_views()}) {
    for (const View& view : *views) {
      const std::string text = "SHOW " + std::string(view.name);
      const ConsoleAnswer answer = ask(text, "watcher");
      ASSERT_FALSE(answer.error) << text << ": " << answer.error->message;
      ASSERT_FALSE(answer.columns.empty()) << text;
      for (const Row& row : answer.rows) EXPECT_EQ(row.size(), answer.columns.size()) << text;
      const ConsoleAnswer described = console_.describe({"watcher", "", true}, text);
      ASSERT_EQ(described.columns.size(), answer.columns.size()) << text;
      for (size_t i = 0; i < answer.columns.size(); ++i) EXPECT_EQ(described.columns[i].name, answer.columns[i].name);
    }
  }
}

TEST_F(AdminConsoleTest, PoolsAndStatisticsAreThoseOfTheProxy) {
  const ConsoleAnswer pools = ask("show pools");
  ASSERT_EQ(pools.rows.size(), 1u) << "what is gone is no pool";
  EXPECT_EQ(value(pools, "database"), "shop");
  EXPECT_EQ(value(pools, "cl_active"), "3");
  EXPECT_EQ(value(pools, "cl_waiting"), "2");
  EXPECT_EQ(value(pools, "sv_active"), "2");
  EXPECT_EQ(value(pools, "sv_idle"), "3");
  EXPECT_EQ(value(pools, "maxwait"), "1");
  EXPECT_EQ(value(pools, "maxwait_us"), "250000");
  EXPECT_EQ(value(pools, "pool_mode"), "transaction");
  const ConsoleAnswer stats = ask("SHOW STATS");
  ASSERT_EQ(stats.rows.size(), 1u);
  EXPECT_EQ(value(stats, "total_query_count"), "120") << "what is gone still counts";
  EXPECT_EQ(value(stats, "avg_xact_time"), "500");
  EXPECT_EQ(value(ask("SHOW DATABASES"), "paused"), "1");
  EXPECT_EQ(value(ask("SHOW VERSION"), "version"), "PgBouncer 1.25.0, spoken by pgbalancer " PGB_VERSION);
}

TEST(StatsPeriodTest, TheAveragesAreThoseOfTheLastFullPeriod) {
  FakeProxy proxy;
  const StatsPeriod period(proxy, std::chrono::milliseconds(50));
  const Deadline limit = Deadline::after(std::chrono::seconds(10));
  proxy.requests = 20;
  while (period.last().from.empty() && !limit.expired()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const auto span = period.last();
  ASSERT_FALSE(span.from.empty());
  EXPECT_EQ(span.from.at("shop").requests, 120u);
  EXPECT_GE(span.seconds, 0.05);
}

TEST_F(AdminConsoleTest, CommandsMeanWhatPgBouncersMean) {
  const std::pair<const char*, const char*> commands[] = {
      {"PAUSE", "pause  3600000"},
      {"PAUSE shop;", "pause shop 3600000"},
      {"pause \"My Shop\" wait=2", "pause My Shop 2000"},
      {"RESUME", "resume "},
      {"RECONNECT shop", "reconnect  shop 0"},
      {"RECONNECT node=primary1", "reconnect primary1  0"},
      {"WAIT_CLOSE", "wait_close   3600000"},
      {"KILL shop", "kill shop"},
      {"KILL_CLIENT '1.7'", "kill_client 1.7"},
      {"DRAIN primary1 limit=10", "drain primary1 10000 0"},
      {"UNDRAIN primary1", "undrain primary1"},
  };
  for (const auto& [text, said] : commands) {
    const ConsoleAnswer answer = ask(text);
    EXPECT_FALSE(answer.error) << text;
    EXPECT_EQ(proxy_.said, said) << text;
    EXPECT_EQ(answer.notice, said) << text;
  }
  EXPECT_EQ(ask("RELOAD").tag, "RELOAD");
  ask("SHUTDOWN");
  EXPECT_EQ(waits_, false);
  ask("SHUTDOWN WAIT_FOR_SERVERS");
  EXPECT_EQ(waits_, true);
}

TEST_F(AdminConsoleTest, ADatabaseThatThereIsNotIsNotPaused) {
  for (const char* command : {"PAUSE", "RESUME", "RECONNECT", "WAIT_CLOSE", "KILL", "INVALIDATE_CACHE"}) {
    const ConsoleAnswer answer = ask(std::string(command) + " nodb");
    ASSERT_TRUE(answer.error) << command;
    EXPECT_EQ(answer.error->message, "there is no database nodb") << command;
    EXPECT_NE(answer.error->detail.find("My Shop, a b, my shop, shop"), std::string::npos) << answer.error->detail;
  }
  EXPECT_EQ(proxy_.said, "") << "nothing was done";
  proxy_.databases.reset();
  EXPECT_EQ(ask("PAUSE nodb").notice, "pause nodb 3600000; no server could be asked whether there is a database nodb");
  EXPECT_EQ(ask("PAUSE shop").notice, "pause shop 3600000") << "it has clients";
}

TEST_F(AdminConsoleTest, WhoIsNotNamedGetsNotInAndWhoMayLookChangesNothing) {
  EXPECT_TRUE(console_.is_open());
  EXPECT_TRUE(console_.lets_in("boss"));
  EXPECT_TRUE(console_.lets_in("watcher"));
  EXPECT_FALSE(console_.lets_in("Boss"));
  EXPECT_EQ(error_of("PAUSE", "watcher"), "42501 pause is for the role operator, not for viewer");
  EXPECT_EQ(proxy_.said, "");
  EXPECT_EQ(error_of("SHOW CONFIG", "watcher"), "none");
  config_.admin_users.clear();
  config_.stats_users.clear();
  EXPECT_FALSE(console_.is_open());
}

TEST_F(AdminConsoleTest, AnySessionMaySeeTheNodesButNotOtherClients) {
  const ConsoleAnswer nodes = ask("SHOW POOL_NODES", "alice", false);
  ASSERT_FALSE(nodes.error);
  EXPECT_EQ(value(nodes, "hostname"), "10.0.0.1");
  EXPECT_EQ(value(nodes, "status"), "down");
  EXPECT_EQ(value(nodes, "role"), "standby") << "it is down, and nobody is the primary";
  EXPECT_EQ(value(nodes, "select_cnt"), "7");
  for (const char* text : {"SHOW POOL_POOLS", "SHOW POOL_PROCESSES", "PGPOOL SHOW ALL", "PGPOOL SHOW port"}) {
    EXPECT_EQ(error_of(text, "alice", false), "42501 permission denied: this is for the role viewer") << text;
    EXPECT_EQ(error_of(text, "watcher", false), "none") << text;
  }
  EXPECT_EQ(value(ask("PGPOOL SHOW port", "watcher", false), "value"), "9999");
  for (const char* text : {"SHOW POOLS", "PAUSE", "SHOW POOL_CACHE", "PGPOOL SET port = 1", "PGPOOL SHOW nothing"}) {
    EXPECT_NE(error_of(text, "boss", false), "none") << text;
  }
  EXPECT_EQ(proxy_.said, "");
}

// Nobody has opened a connection to it yet, which is no fault; and what it was is no role while it is gone.
TEST_F(AdminConsoleTest, AHealthyNodeIsUpAndOneThatIsGoneHasNoRole) {
  proxy_.healthy = true;
  proxy_.more = {{"old", "10.0.0.2", 5432, proxy::NodeRole::kPrimary, false, "gone"},
                 {"replica1", "10.0.0.3", 5432, proxy::NodeRole::kReplica, true, ""}};
  const auto column = [this](const char* table, size_t at) {
    std::string out;
    for (const auto& row : ask(std::string("SHOW ") + table).rows) out += row[at].value_or("") + " ";
    return out;
  };
  EXPECT_EQ(column("POOL_NODES", 3), "up down up ");
  EXPECT_EQ(column("POOL_NODES", 6), "primary standby standby ");
  EXPECT_EQ(column("POOL_NODES", 7), "primary unknown standby ");
  EXPECT_EQ(column("POOL_HEALTH_CHECK_STATS", 3), "up down up ");
  EXPECT_EQ(column("POOL_HEALTH_CHECK_STATS", 4), "primary standby standby ");
  EXPECT_EQ(column("NODES", 3), "primary unknown replica ");
}

TEST_F(AdminConsoleTest, WhatDriversSayWhenTheyLogInIsNoMistake) {
  for (const auto& [text, tag] : std::initializer_list<std::pair<const char*, const char*>>{
           {"SET application_name TO 'x'", "SET"},
           {"SET extra_float_digits = 3", "SET"},
           {"SET SESSION DateStyle TO ISO", "SET"},
           {"SET TIME ZONE 'UTC'", "SET"},
           {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET"},
           {"BEGIN", "BEGIN"},
           {"COMMIT", "COMMIT"},
           {"ROLLBACK", "ROLLBACK"},
           {"", ""},
           {"-- ping", ""},
           {"SHOW HELP", "SHOW"}}) {
    const ConsoleAnswer answer = ask(text);
    EXPECT_FALSE(answer.error) << text;
    EXPECT_EQ(answer.tag, tag) << text;
  }
  EXPECT_EQ(value(ask("SHOW client_encoding"), "client_encoding"), "UTF8");
  EXPECT_EQ(value(ask("SELECT 1"), "?column?"), "1");
  EXPECT_EQ(error_of("SET pool_size = 3"), "42601 pool_size cannot be set here");
  EXPECT_EQ(error_of("SET x = 1"), "42601 there is no parameter \"x\" to be set here");
  EXPECT_NE(error_of("SET SESSION x = 1"), "none");
  EXPECT_NE(error_of("SET"), "none");
  for (const char* text :
       {"SHOW everything", "SHOW pools shop", "PAUSE a b", "KILL", "DRAIN", "SUSPEND", "PAUSE = ="}) {
    EXPECT_NE(error_of(text), "none") << text;
  }
}

TEST_F(AdminConsoleTest, NoSecretIsShown) {
  for (const char* text : {"SHOW CONFIG", "PGPOOL SHOW ALL"}) {
    for (const Row& row : ask(text).rows) {
      for (const auto& item : row) EXPECT_EQ(item.value_or("").find("very secret"), std::string::npos);
    }
  }
}

TEST_F(AdminConsoleTest, AfterItsEndItRefuses) {
  console_.stop();
  EXPECT_EQ(error_of("SHOW POOLS").substr(0, 5), "53300");
}

}  // namespace
}  // namespace pgb::control
