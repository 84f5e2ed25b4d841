// How long what is known of a database is kept.
#include "proxy/catalog_directory.h"

#include <gtest/gtest.h>

#include <atomic>

namespace pgb::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Nobody can be asked: there is no node.
class CatalogDirectoryTest : public testing::Test {
 protected:
  void start(CatalogTimes times) {
    directory_ = std::make_unique<CatalogDirectory>(
        settings_, std::make_shared<TopologySnapshot>(), [this](const std::string&) { return used_.load(); },
        [this](const std::string& name, const sql::CatalogPtr& catalog) {
          if (name == "shop" && !catalog) ++forgotten_;
        },
        times);
  }
  bool is_forgotten(int times) const {
    for (const auto end = std::chrono::steady_clock::now() + seconds(10); std::chrono::steady_clock::now() < end;) {
      if (forgotten_ >= times) return true;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return false;
  }

  Settings settings_;
  std::atomic<bool> used_{true};
  std::atomic<int> forgotten_{0};
  std::unique_ptr<CatalogDirectory> directory_;
};

TEST_F(CatalogDirectoryTest, WhatCannotBeReadAgainDoesNotHoldForEverAndIsAskedForAnew) {
  CatalogTimes times;
  times.after_failure = milliseconds(2);
  times.most_failures = 5;
  start(times);
  for (int turn = 1; turn <= 2; ++turn) {
    const auto begun = std::chrono::steady_clock::now();
    directory_->want("shop");
    ASSERT_TRUE(is_forgotten(turn));
    EXPECT_GE(std::chrono::steady_clock::now() - begun, times.after_failure * times.most_failures);
    std::this_thread::sleep_for(milliseconds(50));
    EXPECT_EQ(forgotten_, turn) << "it was asked for although nobody wanted it";
  }
}

TEST_F(CatalogDirectoryTest, WhatNobodyUsesIsForgotten) {
  CatalogTimes times;
  times.after_failure = milliseconds(2);
  times.most_failures = 1'000'000;
  times.unused = milliseconds(50);
  start(times);
  directory_->want("shop");
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(forgotten_, 0) << "it has sessions";
  used_ = false;
  EXPECT_TRUE(is_forgotten(1));
}

}  // namespace
}  // namespace pgb::proxy
