#include "cluster/disk_filler.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <optional>

#include "os/file.h"
#include "os/test_disk.h"

namespace pgb::cluster {
namespace {

uint64_t free_on(const os::TestDisk& disk) {
  auto free = os::free_bytes(disk.dir.path);
  EXPECT_TRUE(free.ok());
  return free.ok() ? *free : 0;
}

// Whether a file of this size can be written there.
bool takes(const os::TestDisk& disk, size_t bytes) {
  const std::string path = disk.dir.path + "/probe";
  const bool done = os::write_file_atomic(path, std::string(bytes, 'x'), 0600).ok();
  ::unlink(path.c_str());
  return done;
}

// A directory that shows another one.
struct Bound {
  explicit Bound(const std::string& of)
      : mounted(::mount(of.c_str(), dir.path.c_str(), nullptr, MS_BIND, nullptr) == 0) {}
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;
  ~Bound() {
    if (mounted) ::umount(dir.path.c_str());
  }
  os::TestDir dir;
  bool mounted;
};

std::string refused(const std::string& dir, const std::vector<std::string>& others) {
  const auto checked = DiskFiller::check(dir, others);
  if (checked.ok()) return "not refused";
  EXPECT_EQ(checked.error().code, Code::kNotReady);
  return checked.error().message;
}

class DiskFillerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!disk.mounted) GTEST_SKIP() << "a small file system can only be mounted by root";
  }
  os::TestDisk disk{"8m"};
  os::TestDir elsewhere;
};

TEST_F(DiskFillerTest, AFileSystemOfItsOwnMayBeFilled) {
  const auto free = DiskFiller::check(disk.dir.path, {elsewhere.path});
  ASSERT_TRUE(free.ok()) << free.error().message;
  EXPECT_GT(*free, 7u << 20);
  EXPECT_LE(*free, 8u << 20);
}

TEST_F(DiskFillerTest, OneThatOthersAreOnMayNot) {
  for (const char* name : {"/data", "/other"}) ASSERT_TRUE(os::make_dirs(disk.dir.path + name, 0700).ok());
  const std::string parent = refused(disk.dir.path + "/data", {elsewhere.path});
  EXPECT_NE(parent.find("as " + disk.dir.path + ":"), std::string::npos) << parent;
  const std::string other = refused(disk.dir.path, {elsewhere.path, disk.dir.path + "/other"});
  EXPECT_NE(other.find(disk.dir.path + "/other"), std::string::npos) << other;
}

// As a subvolume does.
TEST_F(DiskFillerTest, APartOfOneThatIsMountedMayNot) {
  ASSERT_TRUE(os::make_dirs(disk.dir.path + "/data", 0700).ok());
  const Bound part(disk.dir.path + "/data");
  ASSERT_TRUE(part.mounted);
  const std::string told = refused(part.dir.path, {elsewhere.path});
  EXPECT_NE(told.find("is only /data of a file system"), std::string::npos) << told;
}

TEST_F(DiskFillerTest, OneThatIsMountedElsewhereTooMayNot) {
  const Bound again(disk.dir.path);
  ASSERT_TRUE(again.mounted);
  const std::string told = refused(disk.dir.path, {elsewhere.path});
  EXPECT_NE(told.find("as " + again.dir.path + ":"), std::string::npos) << told;
}

TEST_F(DiskFillerTest, IsFoundThroughASymbolicLink) {
  const std::string link = elsewhere.path + "/link";
  ASSERT_EQ(::symlink(disk.dir.path.c_str(), link.c_str()), 0);
  EXPECT_TRUE(DiskFiller::check(link, {}).ok());
}

TEST_F(DiskFillerTest, OneThatIsNotThereMayNot) {
  EXPECT_FALSE(DiskFiller::check(elsewhere.path + "/nowhere", {}).ok());
  EXPECT_FALSE(DiskFiller::check(disk.dir.path, {elsewhere.path + "/nowhere"}).ok());
}

TEST_F(DiskFillerTest, OneThatIsTooLargeMayNot) {
  const os::TestDisk large("65g");
  ASSERT_TRUE(large.mounted);
  const std::string told = refused(large.dir.path, {elsewhere.path});
  EXPECT_NE(told.find("64 GB"), std::string::npos) << told;
}

TEST_F(DiskFillerTest, TakesAllRoomWithoutANameUntilItIsGivenBack) {
  const uint64_t before = free_on(disk);
  DiskFiller filler;
  ASSERT_TRUE(filler.fill(disk.dir.path).ok());
  EXPECT_EQ(free_on(disk), 0u);
  EXPECT_FALSE(takes(disk, 100000));
  const auto names = os::list_dir(disk.dir.path);
  ASSERT_TRUE(names.ok());
  EXPECT_TRUE(names->empty()) << names->front();
  filler.give_back();
  EXPECT_EQ(free_on(disk), before);
  EXPECT_TRUE(takes(disk, 100000));
}

TEST_F(DiskFillerTest, TakesWhatOthersHaveLeft) {
  ASSERT_TRUE(os::write_file_atomic(disk.dir.path + "/data", std::string(3u << 20, 'x'), 0600).ok());
  DiskFiller filler;
  ASSERT_TRUE(filler.fill(disk.dir.path).ok());
  EXPECT_EQ(free_on(disk), 0u);
  EXPECT_FALSE(takes(disk, 100000));
}

TEST_F(DiskFillerTest, GivesBackWithItsEnd) {
  const uint64_t before = free_on(disk);
  std::optional<DiskFiller> filler(std::in_place);
  ASSERT_TRUE(filler->fill(disk.dir.path).ok());
  ASSERT_LT(free_on(disk), before);
  filler.reset();
  EXPECT_EQ(free_on(disk), before);
}

TEST_F(DiskFillerTest, SaysWhereItCannot) {
  DiskFiller filler;
  const Status done = filler.fill(elsewhere.path + "/nowhere");
  ASSERT_FALSE(done.ok());
  EXPECT_NE(done.error().message.find("/nowhere"), std::string::npos) << done.error().message;
}

}  // namespace
}  // namespace pgb::cluster
