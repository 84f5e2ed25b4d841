#include "cluster/commits_wait.h"

#include <gtest/gtest.h>

#include <vector>

namespace pgb::cluster {
namespace {

std::map<std::string, Follower> streaming(const std::vector<std::string>& names) {
  std::map<std::string, Follower> followers;
  for (const std::string& name : names) followers[name].state = "streaming";
  return followers;
}

TEST(CommitsWait, WhereTooFewOfTheirCopiesStream) {
  constexpr char kOne[] = R"(ANY 1 ("replica1", "replica2"))";
  EXPECT_EQ(commits_wait(kOne, streaming({"replica2"})), "");
  EXPECT_EQ(commits_wait(kOne, streaming({"another"})),
            "commits wait: they need any 1 of replica1, replica2, and none of them streams; pgbalancer_cluster start "
            "brings back replica1, replica2");
  auto followers = streaming({"replica2"});
  followers["replica1"].state = "catchup";
  EXPECT_EQ(commits_wait(R"(ANY 2 ("replica1", "replica2"))", followers),
            "commits wait: they need any 2 of replica1, replica2, and only 1 of them streams; pgbalancer_cluster start "
            "brings back replica1");
}

TEST(CommitsWait, WhereThePrimaryHasNotOpened) {
  EXPECT_NE(commits_wait("ANY 1 (pgbalancer_nobody)", streaming({"replica1"})), "");
}

TEST(CommitsWait, NotWhereTheyWaitForNobody) { EXPECT_EQ(commits_wait("", {}), ""); }

}  // namespace
}  // namespace pgb::cluster
