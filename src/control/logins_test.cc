#include "control/logins.h"

#include <gtest/gtest.h>

#include "control/fake_proxy.h"
#include "pgwire/digest.h"

namespace pgb::control {
namespace {

using std::chrono::seconds;

class LoginsTest : public ::testing::Test {
 protected:
  LoginsTest() {
    config_.pcp_users = {{"boss", Secret(*pgwire::md5_hex("pcp pass"))}};
    config_.admin_users = {"alice"};
    config_.stats_users = {"carol", "away"};
  }
  Role log_in(const std::string& user, const std::string& password) {
    const auto session = logins_.log_in("10.0.0.9", user, Secret(password));
    token_ = session ? session->token : "";
    return session ? session->role : Role::kNobody;
  }
  FakeProxy proxy_;
  BalancerConfig config_;
  Logins logins_{{[this] { return std::make_shared<const BalancerConfig>(config_); },
                  [this](const std::string& user) { return proxy_.secret_of(user, {}); }}};
  std::string token_;
};

TEST_F(LoginsTest, UsersOfPcpAndOfTheConsoleGetInWithTheirRights) {
  EXPECT_EQ(log_in("boss", "pcp pass"), Role::kOperator);
  EXPECT_EQ(log_in("alice", "wonderland"), Role::kOperator);
  config_.admin_users.clear();
  config_.stats_users = {"alice"};
  EXPECT_EQ(log_in("alice", "wonderland"), Role::kViewer);
}

TEST_F(LoginsTest, OthersDoNot) {
  for (const auto& [user, password] :
       std::vector<std::pair<std::string, std::string>>{{"boss", "wrong"},
                                                        {"boss", ""},
                                                        {"boss", *pgwire::md5_hex("pcp pass")},
                                                        {"alice", "wrong"},
                                                        {"carol", ""},
                                                        {"carol", "wonderland"},
                                                        {"nobody", "nobody"},
                                                        {"", ""}}) {
    EXPECT_EQ(log_in(user, password), Role::kNobody) << user;
  }
  config_.admin_users.clear();
  EXPECT_EQ(log_in("alice", "wonderland"), Role::kNobody) << "who may not even look has no business here";
}

TEST_F(LoginsTest, APasswordThatNobodyCanCheckIsNoWrongOne) {
  const auto session = logins_.log_in("10.0.0.9", "away", Secret("x"));
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::kNotReady);
}

TEST_F(LoginsTest, ATokenIsWorthWhatItsUserMayDoNow) {
  EXPECT_EQ(log_in("alice", "wonderland"), Role::kOperator);
  ASSERT_TRUE(logins_.who_has(token_));
  EXPECT_EQ(logins_.who_has(token_)->role, Role::kOperator);
  config_.admin_users.clear();
  config_.stats_users = {"alice"};
  EXPECT_EQ(logins_.who_has(token_)->role, Role::kViewer);
  config_.stats_users.clear();
  EXPECT_FALSE(logins_.who_has(token_));
  EXPECT_FALSE(logins_.who_has(""));
}

TEST(LoginLimit, WhoFailsTooOftenWaitsAndOthersDoNot) {
  LoginLimit limit;
  const auto now = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(limit.attempt("a", now).count(), 0) << i;
  const auto wait = limit.attempt("a", now);
  EXPECT_GT(wait.count(), 1);
  EXPECT_LE(wait.count(), 5);
  EXPECT_EQ(limit.attempt("b", now).count(), 0);
  EXPECT_EQ(limit.attempt("a", now + seconds(6)).count(), 0);
  EXPECT_GT(limit.attempt("a", now + seconds(6)).count(), 0);
}

TEST(LoginLimit, AGoodLoginCostsNothing) {
  LoginLimit limit;
  const auto now = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(limit.attempt("a", now).count(), 0) << i;
    limit.good("a");
  }
}

TEST(LoginLimit, AllTogetherMayNotTryEndlessly) {
  LoginLimit limit;
  const auto now = std::chrono::steady_clock::now();
  int tried = 0;
  for (int i = 0; i < 20'000; ++i) tried += limit.attempt("10.0." + std::to_string(i), now).count() == 0 ? 1 : 0;
  EXPECT_LE(tried, 60);
  EXPECT_GE(tried, 40);
}

}  // namespace
}  // namespace pgb::control
