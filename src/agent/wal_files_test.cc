#include "agent/wal_files.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "os/file.h"
#include "os/test_dir.h"

namespace pgb::agent {
namespace {

constexpr uint64_t kSegment = 16 << 20;

void touch(const std::string& path) { ASSERT_TRUE(os::write_file_atomic(path, "", 0600).ok()); }

TEST(WalFiles, PositionsAreReadAsPostgresqlWritesThem) {
  EXPECT_EQ(parse_lsn("0/3000060"), 0x3000060U);
  EXPECT_EQ(parse_lsn("A/1"), (uint64_t{10} << 32) + 1);
  EXPECT_FALSE(parse_lsn(""));
  EXPECT_FALSE(parse_lsn("0/"));
  EXPECT_FALSE(parse_lsn("x/1"));
}

TEST(WalFiles, AHistorySaysWhereEachTimelineBegan) {
  const auto forks =
      parse_history("# a comment\n1\t0/3000060\tno recovery target specified\n\n2\t0/5000000\tbecause\n", 4);
  EXPECT_EQ(forks, (std::vector<ha::Fork>{{1, 0}, {2, 0x3000060}, {4, 0x5000000}}));
  EXPECT_EQ(parse_history("", 1), (std::vector<ha::Fork>{{1, 0}}));
}

TEST(WalFiles, WalFromBeforeATimelineBeganIsItsParents) {
  const std::vector<ha::Fork> history{{1, 0}, {2, 100}, {4, 200}};
  EXPECT_EQ(history_until(history, 250), history);
  EXPECT_EQ(history_until(history, 200), history) << "what stands there first is of the new one";
  EXPECT_EQ(history_until(history, 199), (std::vector<ha::Fork>{{1, 0}, {2, 100}}));
  EXPECT_EQ(history_until(history, 1), (std::vector<ha::Fork>{{1, 0}}));
  EXPECT_TRUE(history_until({}, 1).empty());
}

TEST(WalFiles, TheTimelineIsThatOfTheNewestSegmentThatHoldsThePosition) {
  const os::TestDir dir;
  ASSERT_TRUE(os::make_dirs(dir.path + "/pg_wal", 0700).ok());
  const std::string wal = dir.path + "/pg_wal/";
  for (const char* name : {"000000010000000000000002", "000000010000000000000003", "000000020000000000000003",
                           "000000050000000000000009", "000000030000000000000003", "000000040000000000000003"}) {
    touch(wal + name);
  }
  ASSERT_TRUE(os::write_file_atomic(wal + "00000002.history", "1\t0/3000002\tx\n", 0600).ok());
  touch(wal + "00000003.history");  // laid, so that nobody takes the number
  EXPECT_EQ(timeline_at(dir.path, 3 * kSegment + 5, kSegment), 2U) << "3 and 4 broke off before they began";
  EXPECT_EQ(timeline_at(dir.path, 3 * kSegment, kSegment), 1U) << "the last byte before it is in segment 2";
  EXPECT_EQ(timeline_at(dir.path, 7 * kSegment + 5, kSegment), 0U);
}

TEST(WalFiles, NumbersThatOthersMayHaveAreLeftOut) {
  const os::TestDir dir;
  ASSERT_TRUE(os::make_dirs(dir.path + "/pg_wal", 0700).ok());
  const std::string wal = dir.path + "/pg_wal/";
  ASSERT_TRUE(os::write_file_atomic(wal + "00000003.history", "1\t0/1000000\tx\n", 0600).ok());
  ASSERT_TRUE(lay_histories(dir.path, 1, 5).ok());
  for (const char* name : {"00000002.history", "00000003.history", "00000004.history"}) {
    EXPECT_TRUE(os::exists(wal + name)) << name;
  }
  EXPECT_FALSE(os::exists(wal + "00000005.history"));
  EXPECT_EQ(read_history(dir.path, 3).size(), 2U) << "a true one is kept";
}

TEST(WalFiles, NumbersAfterTheLastTrueHistoryAreTakenBack) {
  const os::TestDir dir;
  ASSERT_TRUE(os::make_dirs(dir.path + "/pg_wal", 0700).ok());
  const std::string wal = dir.path + "/pg_wal/";
  ASSERT_TRUE(os::write_file_atomic(wal + "0000000B.history", "1\t0/1000000\tx\n", 0600).ok());
  ASSERT_TRUE(os::write_file_atomic(wal + "0000000B0000000000000002", "", 0600).ok());
  ASSERT_TRUE(lay_histories(dir.path, 8, 14).ok());
  ASSERT_TRUE(drop_laid_histories(dir.path).ok());
  EXPECT_TRUE(os::exists(wal + "00000009.history")) << "standbys ask for it";
  EXPECT_TRUE(os::exists(wal + "0000000B.history"));
  EXPECT_FALSE(os::exists(wal + "0000000C.history"));
  EXPECT_FALSE(os::exists(wal + "0000000D.history"));
  EXPECT_TRUE(os::exists(wal + "0000000B0000000000000002"));
  EXPECT_TRUE(drop_laid_histories(dir.path).ok()) << "again";
}

TEST(WalFiles, ControlDataIsUnderstoodOrRefused) {
  const auto data = parse_control_data(
      "pg_control version number:            1300\n"
      "Database system identifier:           7123\n"
      "Database cluster state:               shut down in recovery\n"
      "Latest checkpoint location:           0/3000060\n"
      "Latest checkpoint's REDO location:    0/3000028\n"
      "Latest checkpoint's TimeLineID:       2\n"
      "Bytes per WAL segment:                16777216\n");
  ASSERT_TRUE(data.ok());
  EXPECT_EQ(data->system_id, "7123");
  EXPECT_EQ(data->state, "shut down in recovery");
  EXPECT_EQ(data->checkpoint, 0x3000060U);
  EXPECT_EQ(data->timeline, 2U);
  EXPECT_FALSE(parse_control_data("pg_controldata: error").ok());
  EXPECT_FALSE(parse_control_data("WARNING: Calculated CRC checksum does not match value stored in file.\n"
                                  "Database system identifier:           7123\n"
                                  "Database cluster state:               shut down\n"
                                  "Latest checkpoint location:           0/3000060\n"
                                  "Bytes per WAL segment:                16777216\n")
                   .ok());
}

}  // namespace
}  // namespace pgb::agent
