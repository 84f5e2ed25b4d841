#include "control/node_names.h"

#include <gtest/gtest.h>

#include <atomic>

namespace pgb::control {
namespace {

using std::chrono::milliseconds;

class NodeNamesTest : public testing::Test {
 protected:
  void say(const std::string& name, const std::string& address) {
    const std::lock_guard lock(mutex_);
    answers_[name] = address.empty() ? std::vector<std::string>() : std::vector<std::string>{address};
  }
  bool is_soon(const std::string& name, const std::string& address) const {
    for (int i = 0; i < 2000 && names_.address(name) != address; ++i) std::this_thread::sleep_for(milliseconds(1));
    return names_.address(name) == address;
  }

  std::mutex mutex_;
  std::map<std::string, std::vector<std::string>> answers_;
  std::atomic<int> asked_{0}, moves_{0};
  NodeNames names_{milliseconds(5),
                   [this](const std::string& name) {
                     const std::lock_guard lock(mutex_);
                     ++asked_;
                     return answers_[name];
                   },
                   [this] { ++moves_; }};
};

TEST_F(NodeNamesTest, ANameIsKnownAtOnceAndFollowedWhenItMoves) {
  say("db1", "10.0.0.1");
  names_.set({"db1", "10.0.0.9"});
  EXPECT_EQ(names_.address("db1"), "10.0.0.1");
  EXPECT_EQ(names_.address("10.0.0.9"), "10.0.0.9");
  const int moves = moves_;
  say("db1", "10.0.0.2");
  EXPECT_TRUE(is_soon("db1", "10.0.0.2"));
  for (int i = 0; i < 2000 && moves_ == moves; ++i) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(moves_, moves + 1);
}

TEST_F(NodeNamesTest, OfSeveralAddressesTheOneThatWasTakenIsKeptWhileItIsAmongThem) {
  say("db1", "10.0.0.1");
  names_.set({"db1"});
  {
    const std::lock_guard lock(mutex_);
    answers_["db1"] = {"10.0.0.2", "10.0.0.1"};
  }
  const int asked = asked_;
  for (int i = 0; i < 2000 && asked_ < asked + 6; ++i) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(names_.address("db1"), "10.0.0.1");
}

TEST_F(NodeNamesTest, NobodyIsToldOfAMoveOnceItHasStopped) {
  names_.set({"db1"});
  names_.stop();
  const int moves = moves_;
  say("db1", "10.0.0.1");
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(moves_, moves);
}

TEST_F(NodeNamesTest, WhatIsNotFoundAnyMoreIsWhereItWas) {
  say("db1", "10.0.0.1");
  names_.set({"db1", "db2"});
  EXPECT_EQ(names_.address("db2"), "db2") << "nobody knows it yet";
  say("db1", "");
  const int asked = asked_;
  for (int i = 0; i < 2000 && asked_ < asked + 6; ++i) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(names_.address("db1"), "10.0.0.1");
  say("db2", "::1");
  EXPECT_TRUE(is_soon("db2", "::1"));
}

TEST_F(NodeNamesTest, AddressesAreNotAskedFor) {
  names_.set({"10.0.0.1", "::1", "localhost"});
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(asked_, 0);
}

TEST(AddressesOfHost, AsTheSystemSays) {
  const std::vector<std::string> local = addresses_of_host("localhost");
  ASSERT_FALSE(local.empty());
  EXPECT_TRUE(local[0] == "127.0.0.1" || local[0] == "::1") << local[0];
  EXPECT_TRUE(addresses_of_host("no-such-host.invalid").empty());
}

}  // namespace
}  // namespace pgb::control
