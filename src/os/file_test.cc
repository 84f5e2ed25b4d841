#include "os/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/lock_file.h"
#include "os/test_dir.h"
#include "os/users.h"

namespace pgb::os {
namespace {

mode_t mode_of(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

TEST(File, WritesAndReadsBack) {
  TestDir dir;
  std::string path = dir.path + "/a";
  ASSERT_TRUE(write_file_atomic(path, "one", 0600).ok());
  ASSERT_TRUE(write_file_atomic(path, "two", 0640).ok());
  EXPECT_EQ(read_file(path).value(), "two");
  EXPECT_EQ(mode_of(path), 0640u);
  EXPECT_EQ(list_dir(dir.path).value(), std::vector<std::string>{"a"});  // no temporary file left
}

TEST(File, ReplacesInOneStepWithoutWaitingForTheDisk) {
  TestDir dir;
  std::string path = dir.path + "/a";
  ASSERT_TRUE(write_file_atomic(path, "one", 0640).ok());
  ASSERT_TRUE(replace_file(path, "two", 0600).ok());
  EXPECT_EQ(read_file(path).value(), "two");
  EXPECT_EQ(mode_of(path), 0600u);
  EXPECT_EQ(list_dir(dir.path).value(), std::vector<std::string>{"a"});
}

TEST(File, WritesForAnotherOwner) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  TestDir dir;
  ASSERT_TRUE(write_file_atomic(dir.path + "/a", "one", 0600, Owner{65534, 65534}).ok());
  struct stat info {};
  ASSERT_EQ(::lstat((dir.path + "/a").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 65534u);
  EXPECT_EQ(mode_of(dir.path + "/a"), 0600u);
}

TEST(File, ReadTellsAbsentAndTooLong) {
  TestDir dir;
  EXPECT_EQ(read_file(dir.path + "/none").error().code, Code::kNotFound);
  ASSERT_TRUE(write_file_atomic(dir.path + "/a", "12345", 0600).ok());
  EXPECT_EQ(read_file(dir.path + "/a", 4).error().code, Code::kIo);
  EXPECT_TRUE(read_file(dir.path + "/a", 5).ok());
}

TEST(File, MakeDirsGivesTheModePastTheUmask) {
  TestDir dir;
  mode_t old = ::umask(077);
  EXPECT_TRUE(make_dirs(dir.path + "/x/y/", 0755).ok());
  ::umask(old);
  EXPECT_EQ(mode_of(dir.path + "/x"), 0755u);
  EXPECT_EQ(mode_of(dir.path + "/x/y"), 0755u);
  EXPECT_TRUE(make_dirs(dir.path + "/x/y", 0700).ok());
  EXPECT_EQ(mode_of(dir.path + "/x/y"), 0755u);
  ASSERT_TRUE(write_file_atomic(dir.path + "/f", "", 0600).ok());
  EXPECT_FALSE(make_dirs(dir.path + "/f", 0700).ok());
}

TEST(File, RemoveTreeDoesNotFollowSymbolicLinks) {
  TestDir dir;
  ASSERT_TRUE(make_dirs(dir.path + "/keep", 0700).ok());
  ASSERT_TRUE(write_file_atomic(dir.path + "/keep/file", "x", 0600).ok());
  ASSERT_TRUE(make_dirs(dir.path + "/gone/sub/deep", 0700).ok());
  ASSERT_TRUE(write_file_atomic(dir.path + "/gone/sub/file", "x", 0600).ok());
  ASSERT_EQ(::symlink((dir.path + "/keep").c_str(), (dir.path + "/gone/link").c_str()), 0);
  ASSERT_TRUE(remove_tree(dir.path + "/gone").ok());
  EXPECT_FALSE(exists(dir.path + "/gone"));
  EXPECT_TRUE(exists(dir.path + "/keep/file"));
  EXPECT_TRUE(remove_tree(dir.path + "/gone").ok());  // absent: success
  EXPECT_FALSE(remove_tree("/").ok());
  EXPECT_FALSE(remove_tree("").ok());
}

TEST(File, TreeSizeCountsFilesBelow) {
  TestDir dir;
  ASSERT_TRUE(make_dirs(dir.path + "/a/b", 0700).ok());
  ASSERT_TRUE(write_file_atomic(dir.path + "/a/b/f", std::string(100000, 'x'), 0600).ok());
  EXPECT_GE(tree_size(dir.path).value(), 100000u);
  EXPECT_FALSE(tree_size(dir.path + "/none").ok());
}

TEST(File, FreeBytesOfAnAbsentPathIsThatOfItsParent) {
  TestDir dir;
  auto bytes = free_bytes(dir.path + "/not/yet");
  ASSERT_TRUE(bytes.ok());
  EXPECT_GT(*bytes, 0u);
}

TEST(File, ChownTreeChangesLinksThemselves) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  TestDir dir;
  ASSERT_TRUE(make_dirs(dir.path + "/t/sub", 0700).ok());
  ASSERT_TRUE(write_file_atomic(dir.path + "/outside", "x", 0600).ok());
  ASSERT_EQ(::symlink((dir.path + "/outside").c_str(), (dir.path + "/t/sub/link").c_str()), 0);
  ASSERT_TRUE(chown_tree(dir.path + "/t", 65534, 65534).ok());
  struct stat info {};
  ASSERT_EQ(::lstat((dir.path + "/t/sub/link").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 65534u);
  ASSERT_EQ(::lstat((dir.path + "/outside").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0u);
}

TEST(File, KnowsTheDirectoryOfTheProgram) {
  std::string dir = self_exe_dir();
  EXPECT_EQ(dir.front(), '/');
  EXPECT_TRUE(exists(dir + "/os_test"));
}

TEST(LockFile, TellsWhoHoldsItAndIsFreedWithTheObject) {
  TestDir dir;
  std::string path = dir.path + "/lock";
  {
    auto first = LockFile::acquire(path, "init");
    ASSERT_TRUE(first.ok());
    LockFile moved = std::move(*first);
    auto second = LockFile::acquire(path, "destroy");
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, Code::kBusy);
    EXPECT_NE(second.error().message.find("pid " + std::to_string(::getpid()) + ", init, since 20"), std::string::npos);
  }
  EXPECT_TRUE(LockFile::acquire(path, "destroy").ok());
}

TEST(Users, ReadsThePasswdFile) {
  TestDir dir;
  std::string passwd = dir.path + "/passwd";
  ASSERT_TRUE(write_file_atomic(passwd,
                                "root:x:0:0:root:/root:/bin/sh\nbroken:x:zz:1\n"
                                "postgres:x:104:110:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\n",
                                0600)
                  .ok());
  auto user = find_user("postgres", passwd);
  ASSERT_TRUE(user.ok());
  EXPECT_EQ(user->uid, 104u);
  EXPECT_EQ(user->gid, 110u);
  EXPECT_EQ(user->home, "/var/lib/postgresql");
  EXPECT_EQ(find_uid(0, passwd).value().name, "root");
  EXPECT_EQ(find_user("broken", passwd).error().code, Code::kNotFound);
  EXPECT_FALSE(find_uid(999, passwd).ok());
}

}  // namespace
}  // namespace pgb::os
