#include "agent/stale_pid.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "os/file.h"
#include "os/test_dir.h"

namespace pgb::agent {
namespace {

class StalePidTest : public ::testing::Test {
 protected:
  // What stands in the file afterwards, if it named `pid`.
  std::string after(pid_t pid) {
    const std::string file = dir_.path + "/postmaster.pid";
    EXPECT_TRUE(os::write_file_atomic(file, std::to_string(pid) + rest_, 0600).ok());
    EXPECT_TRUE(disown_stale_pid(dir_.path).ok());
    return text_of(file);
  }

  static std::string text_of(const std::string& file) {
    const auto text = os::read_file(file);
    return text.ok() ? *text : "";
  }

  os::TestDir dir_;
  const std::string rest_ = "\n/data\n1700000000\n5432\n\n127.0.0.1\n  12345     67890\n";
  const std::string ours_ = std::to_string(getpid()) + rest_;
};

TEST_F(StalePidTest, AThreadOfOurOwnIsNoServer) {
  std::promise<pid_t> number;
  std::promise<void> over;
  std::thread thread([&] {
    number.set_value(gettid());
    over.get_future().wait();
  });
  const pid_t pid = number.get_future().get();
  ASSERT_NE(pid, getpid());
  EXPECT_EQ(after(pid), ours_);
  over.set_value();
  thread.join();
}

TEST_F(StalePidTest, NorIsAProcessThatIsSomethingElse) {
  const pid_t pid = fork();
  if (pid == 0) {
    pause();
    _exit(0);
  }
  EXPECT_EQ(after(pid), ours_);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  EXPECT_EQ(after(pid), std::to_string(pid) + rest_) << "postgres sees itself that nobody has that number";
}

TEST_F(StalePidTest, AServerInThisDirectoryIsLeftToPostgres) {
  const std::string program = dir_.path + "/postgres";
  const pid_t pid = fork();
  if (pid == 0) {
    if (chdir(dir_.path.c_str()) != 0 || symlink("/bin/sleep", program.c_str()) != 0) _exit(1);
    execl(program.c_str(), "postgres", "60", nullptr);
    _exit(1);
  }
  const std::string comm = "/proc/" + std::to_string(pid) + "/comm";
  for (int i = 0; i < 2000 && text_of(comm) != "postgres\n"; ++i) usleep(1000);  // until it is that program
  EXPECT_EQ(after(pid), std::to_string(pid) + rest_);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

TEST_F(StalePidTest, WithoutSuchAFileNothingIsDone) {
  EXPECT_TRUE(disown_stale_pid(dir_.path).ok());
  EXPECT_FALSE(os::exists(dir_.path + "/postmaster.pid"));
}

}  // namespace
}  // namespace pgb::agent
