#include "agent/data_dir.h"

#include <gtest/gtest.h>

#include "os/file.h"
#include "os/test_dir.h"

namespace pgb::agent {
namespace {

class DataDirTest : public ::testing::Test {
 protected:
  void put(const std::string& name, const std::string& text) {
    ASSERT_TRUE(os::make_dirs(dir_.path(), 0700).ok());
    ASSERT_TRUE(os::write_file_atomic(dir_.path() + "/" + name, text, 0600).ok());
  }
  os::TestDir test_;
  DataDir dir_{test_.path + "/data/pgdata"};
};

TEST_F(DataDirTest, NothingIsEmpty) { EXPECT_EQ(dir_.look(), DataStage::kEmpty); }

TEST_F(DataDirTest, AServerWithoutOurMarkIsForeignAndNeverWiped) {
  put("PG_VERSION", "15\n");
  EXPECT_EQ(dir_.look(), DataStage::kForeign);
  const Status wiped = dir_.wipe_unfinished();
  ASSERT_FALSE(wiped.ok());
  EXPECT_EQ(wiped.error().code, Code::kForeign);
  EXPECT_TRUE(os::exists(dir_.path() + "/PG_VERSION"));
}

TEST_F(DataDirTest, AnyFilesWithoutOurMarkAreForeign) {
  put("notes.txt", "mine");
  EXPECT_EQ(dir_.look(), DataStage::kForeign);
  ASSERT_TRUE(dir_.set_stage(DataStage::kReady).ok());
  EXPECT_EQ(dir_.look(), DataStage::kForeign) << "ready, but no PG_VERSION: somebody's files";
}

TEST_F(DataDirTest, AnUnfinishedCopyOfOursIsWiped) {
  ASSERT_TRUE(os::make_dirs(dir_.parent(), 0700).ok());
  ASSERT_TRUE(dir_.set_stage(DataStage::kMaking).ok());
  put("PG_VERSION", "15\n");
  EXPECT_EQ(dir_.look(), DataStage::kMaking);
  ASSERT_TRUE(dir_.wipe_unfinished().ok());
  EXPECT_EQ(dir_.look(), DataStage::kEmpty);
}

TEST_F(DataDirTest, AWholeServerOfOursIsNeverWiped) {
  put("PG_VERSION", "15\n");
  for (DataStage stage : {DataStage::kInitialised, DataStage::kReady}) {
    ASSERT_TRUE(dir_.set_stage(stage).ok());
    EXPECT_EQ(dir_.look(), stage);
    EXPECT_FALSE(dir_.wipe_unfinished().ok());
    EXPECT_TRUE(os::exists(dir_.path() + "/PG_VERSION"));
  }
}

}  // namespace
}  // namespace pgb::agent
