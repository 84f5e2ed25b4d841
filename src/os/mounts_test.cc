#include "os/mounts.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include "os/file.h"
#include "os/test_disk.h"

namespace pgb::os {
namespace {

constexpr char kText[] =
    "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
    "23 22 0:30 /@home /home rw,relatime shared:5 - btrfs /dev/sdb1 rw,subvol=/@home\n"
    "24 23 8:17 / /home/with\\040blank\\134 rw - ext4 /dev/sdc1 rw\n"
    "no line\n"
    "25 22 8:1 /srv/data /mnt rw - ext4 /dev/sda1 rw\n"
    "26 22 8:33 / /mnt rw - xfs /dev/sdd1 rw\n";

TEST(Mounts, AreReadWithWhatOfAFileSystemStandsWhere) {
  const auto mounts = parse_mounts(kText);
  ASSERT_EQ(mounts.size(), 5u);
  EXPECT_EQ(mounts[1].device, "0:30");
  EXPECT_EQ(mounts[1].root, "/@home");
  EXPECT_EQ(mounts[1].point, "/home");
  EXPECT_EQ(mounts[2].point, "/home/with blank\\");
  EXPECT_TRUE(parse_mounts("").empty());
}

TEST(Mounts, APathLiesOnTheDeepestAndOfThoseOnTheLastOne) {
  const auto mounts = parse_mounts(kText);
  const auto device = [&](const char* path) { return mount_of(mounts, path)->device; };
  EXPECT_EQ(device("/"), "8:1");
  EXPECT_EQ(device("/homes"), "8:1");
  EXPECT_EQ(device("/home"), "0:30");
  EXPECT_EQ(device("/home/alice"), "0:30");
  EXPECT_EQ(device("/home/with blank\\/x"), "8:17");
  EXPECT_EQ(device("/mnt/x"), "8:33");
  EXPECT_EQ(mount_of({}, "/"), nullptr);
}

TEST(Mounts, OfThisProcessHoldWhatIsMountedNow) {
  const TestDisk disk("1m");
  if (!disk.mounted) GTEST_SKIP() << "a small file system can only be mounted by root";
  ASSERT_TRUE(make_dirs(disk.dir.path + "/part", 0700).ok());
  const TestDir bound;
  ASSERT_EQ(::mount((disk.dir.path + "/part").c_str(), bound.path.c_str(), nullptr, MS_BIND, nullptr), 0);
  const auto all = mounts();
  ::umount(bound.path.c_str());
  ASSERT_TRUE(all.ok());
  const Mount* whole = mount_of(*all, disk.dir.path + "/part");
  const Mount* part = mount_of(*all, bound.path + "/file");
  ASSERT_TRUE(whole != nullptr && part != nullptr);
  EXPECT_EQ(whole->point, disk.dir.path);
  EXPECT_EQ(whole->root, "/");
  EXPECT_EQ(part->point, bound.path);
  EXPECT_EQ(part->root, "/part");
  EXPECT_EQ(part->device, whole->device);
}

}  // namespace
}  // namespace pgb::os
