#include "os/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "os/file.h"
#include "os/pidfile.h"
#include "os/process.h"
#include "os/test_dir.h"

namespace pgb::os {
namespace {

using std::chrono::milliseconds;

Deadline soon() { return Deadline::after(std::chrono::seconds(20)); }

SpawnOptions command(std::vector<std::string> argv) {
  SpawnOptions options;
  options.argv = std::move(argv);
  return options;
}

TEST(Run, CapturesOutputErrorAndExitCode) {
  auto result = run(command({"/bin/sh", "-c", "echo out; echo err >&2; exit 7"}), soon());
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->out, "out\n");
  EXPECT_EQ(result->err, "err\n");
  EXPECT_EQ(result->exit_code, 7);
  EXPECT_EQ(result->signal, 0);
}

TEST(Run, ReportsTheSignalThatEndedIt) {
  auto result = run(command({"/bin/sh", "-c", "kill -9 $$"}), soon());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->signal, SIGKILL);
  EXPECT_EQ(result->exit_code, -1);
}

TEST(Run, FeedsInputEnvironmentAndDirectory) {
  SpawnOptions options = command({"sh", "-c", "cat; echo $PGB_T; pwd"});
  options.stdin_text = std::string(300000, 'x') + "\n";
  options.env = {"PGB_T=hello"};
  options.cwd = "/";
  auto result = run(options, soon());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->out, options.stdin_text + "hello\n/\n");
}

TEST(Run, KillsTheWholeGroupAtTheDeadline) {
  TestDir dir;
  std::string file = dir.path + "/child";
  auto result =
      run(command({"/bin/sh", "-c", "sleep 100 & echo $! > " + file + "; wait"}), Deadline::after(milliseconds(300)));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kTimeout);
  auto text = read_file(file);
  ASSERT_TRUE(text.ok());
  pid_t grandchild = std::stoi(*text);
  Deadline limit = soon();
  while (process_start_time(grandchild) && !limit.expired()) ::poll(nullptr, 0, 5);
  EXPECT_FALSE(process_start_time(grandchild));
}

TEST(Run, DoesNotWaitForADaemonThatHoldsThePipe) {
  TestDir dir;
  auto result = run(command({"/bin/sh", "-c", "sleep 100 & echo $!"}), soon());
  ASSERT_TRUE(result.ok()) << result.error().message;
  ::kill(std::stoi(result->out), SIGKILL);
}

TEST(Run, SaysThatTheProgramDoesNotExist) {
  auto absent = run(command({"/nonexistent/program"}), soon());
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().code, Code::kNotFound);
  EXPECT_NE(absent.error().message.find("/nonexistent/program"), std::string::npos);
  EXPECT_EQ(run(command({"no-such-program-anywhere"}), soon()).error().code, Code::kNotFound);
}

TEST(Run, SaysThatTheDirectoryDoesNotExist) {
  SpawnOptions options = command({"/bin/true"});
  options.cwd = "/nonexistent";
  auto result = run(options, soon());
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().message.find("working directory"), std::string::npos);
}

TEST(Run, GivesTheChildNoOtherDescriptors) {
  int leak = ::fcntl(0, F_DUPFD, 77);  // without CLOEXEC
  ASSERT_GE(leak, 77);
  auto result = run(command({"/bin/sh", "-c", "for f in /proc/$$/fd/*; do echo ${f##*/}; done"}), soon());
  ::close(leak);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->out.substr(0, 6), "0\n1\n2\n");
  EXPECT_EQ(result->out.find("\n" + std::to_string(leak) + "\n"), std::string::npos) << result->out;
}

TEST(Run, DropsTheUserAndItsGroups) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  SpawnOptions options = command({"/usr/bin/id"});
  options.uid = 65534;
  options.gid = 65534;
  auto result = run(options, soon());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->out.find("uid=65534"), 0u);
  EXPECT_EQ(result->out.find("root"), std::string::npos);
}

TEST(Run, AnotherUserNeedNotReachTheProgramItself) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  TestDir dir;  // 0700, like root's home
  const auto program = read_file("/usr/bin/id");
  ASSERT_TRUE(program.ok());
  ASSERT_TRUE(write_file_atomic(dir.path + "/id", *program, 0755).ok());
  SpawnOptions options = command({dir.path + "/id"});
  options.uid = options.gid = 65534;
  auto result = run(options, soon());
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->out.find("uid=65534"), 0u);
}

TEST(Run, AppendsToFiles) {
  TestDir dir;
  SpawnOptions options = command({"/bin/sh", "-c", "echo a; echo b >&2"});
  options.stdout_file = options.stderr_file = dir.path + "/log";
  ASSERT_TRUE(run(options, soon()).ok());
  ASSERT_TRUE(run(options, soon()).ok());
  EXPECT_EQ(read_file(dir.path + "/log").value(), "a\nb\na\nb\n");
}

TEST(Spawn, ReturnsAChildToWaitFor) {
  auto pid = spawn(command({"/bin/sh", "-c", "exit 3"}));
  ASSERT_TRUE(pid.ok());
  int status = 0;
  ASSERT_EQ(::waitpid(*pid, &status, 0), *pid);
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

TEST(Spawn, ParentDeathSignalEndsTheChild) {
  TestDir dir;
  std::string file = dir.path + "/pid";
  pid_t between = ::fork();
  if (between == 0) {
    SpawnOptions options = command({"/bin/sleep", "100"});
    options.pdeathsig = SIGKILL;
    auto pid = spawn(options);
    if (pid.ok()) ::_exit(write_pidfile(file, *pid).ok() ? 0 : 1);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(between, &status, 0);
  ASSERT_EQ(WEXITSTATUS(status), 0);
  Deadline limit = soon();
  while (live_pid(file) && !limit.expired()) ::poll(nullptr, 0, 5);
  EXPECT_FALSE(live_pid(file));
}

TEST(SpawnDetached, LeadsItsOwnSessionAndIsNotOurChild) {
  TestDir dir;
  auto pid = spawn_detached(command({"/bin/sleep", "100"}));
  ASSERT_TRUE(pid.ok()) << pid.error().message;
  EXPECT_EQ(session_of(*pid), *pid);
  EXPECT_EQ(cmdline(*pid), (std::vector<std::string>{"/bin/sleep", "100"}));
  EXPECT_EQ(::waitpid(*pid, nullptr, WNOHANG), -1);
  ::kill(*pid, SIGKILL);
}

TEST(SpawnDetached, ChangesTheUserWhileOtherThreadsComeAndGo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  std::atomic<bool> stop{false};
  std::thread churn([&] {
    while (!stop) std::thread([] {}).join();
  });
  SpawnOptions options = command({"/bin/true"});
  options.uid = options.gid = 65534;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(spawn_detached(options).ok());
  stop = true;
  churn.join();
}

TEST(SpawnDetached, SaysThatItCannotRun) {
  TestDir dir;
  ASSERT_TRUE(write_file_atomic(dir.path + "/bad", "not a program", 0755).ok());
  auto pid = spawn_detached(command({dir.path + "/bad"}));
  ASSERT_FALSE(pid.ok());
  EXPECT_NE(pid.error().message.find("/bad"), std::string::npos);
}

TEST(Run, WhatLibpqReadsIsNotHandedDownIfNotWanted) {
  ::setenv("PGPASSWORD", "of another server", 1);
  ::setenv("PGB_KEPT", "ours", 1);
  SpawnOptions options;
  options.argv = {"env"};
  options.env = {"PGDATABASE=given"};
  auto told = run(options, Deadline::after(std::chrono::seconds(5)));
  ASSERT_TRUE(told.ok());
  EXPECT_NE(told->out.find("PGPASSWORD="), std::string::npos);
  options.without_libpq = true;
  told = run(options, Deadline::after(std::chrono::seconds(5)));
  ASSERT_TRUE(told.ok());
  EXPECT_EQ(told->out.find("PGPASSWORD="), std::string::npos);
  EXPECT_NE(told->out.find("PGB_KEPT=ours"), std::string::npos);
  EXPECT_NE(told->out.find("PGDATABASE=given"), std::string::npos) << "what is given with it is";
  forget_libpq();
  EXPECT_EQ(std::getenv("PGPASSWORD"), nullptr);
  EXPECT_NE(std::getenv("PGB_KEPT"), nullptr);
  ::unsetenv("PGB_KEPT");
}

}  // namespace
}  // namespace pgb::os
