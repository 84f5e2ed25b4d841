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
    answers_[name] = address;
  }
  bool is_soon(const std::string& name, const std::string& address) const {
    for (int i = 0; i < 2000 && names_.address(name) != address; ++i) std::this_thread::sleep_for(milliseconds(1));
    return names_.address(name) == address;
  }

  std::mutex mutex_;
  std::map<std::string, std::string> answers_;
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
  EXPECT_EQ(moves_, 0) << "who has set it knows";
  say("db1", "10.0.0.2");
  EXPECT_TRUE(is_soon("db1", "10.0.0.2"));
  for (int i = 0; i < 2000 && moves_ == 0; ++i) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(moves_, 1);
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

TEST(AddressOfHost, AsTheSystemSays) {
  const std::string local = address_of_host("localhost");
  EXPECT_TRUE(local == "127.0.0.1" || local == "::1") << local;
  EXPECT_EQ(address_of_host("no-such-host.invalid"), "");
}

}  // namespace
}  // namespace pgb::control
