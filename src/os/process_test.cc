#include "os/process.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "os/pidfile.h"
#include "os/signals.h"
#include "os/subprocess.h"
#include "os/test_dir.h"
#include "os/unique_fd.h"

namespace pgb::os {
namespace {

pid_t start_sleeper() {
  SpawnOptions options;
  options.argv = {"/bin/sleep", "100"};
  auto pid = spawn(options);
  return pid.ok() ? *pid : -1;
}

void end(pid_t pid) {
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

TEST(UniqueFd, ClosesOnceAndMoves) {
  int raw = ::dup(0);
  ASSERT_GE(raw, 0);
  {
    UniqueFd a(raw);
    UniqueFd b = std::move(a);
    EXPECT_EQ(b.get(), raw);
  }
  EXPECT_EQ(::close(raw), -1);
}

TEST(Process, TellsAboutAProcess) {
  pid_t pid = start_sleeper();
  ASSERT_GT(pid, 0);
  EXPECT_TRUE(process_start_time(pid));
  EXPECT_EQ(cmdline(pid), (std::vector<std::string>{"/bin/sleep", "100"}));
  EXPECT_EQ(process_name(pid), "sleep");
  EXPECT_GT(resident_bytes(::getpid()).value_or(0), 100000u);
  EXPECT_EQ(session_of(pid), ::getsid(0));
  EXPECT_EQ(process_cwd(pid), process_cwd(::getpid()));
  auto pids = all_pids();
  EXPECT_NE(std::find(pids.begin(), pids.end(), pid), pids.end());
  end(pid);
  EXPECT_FALSE(process_start_time(pid));
  EXPECT_TRUE(cmdline(pid).empty());
}

TEST(Process, NamesTheHolderOfAPort) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  socklen_t size = sizeof address;
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  uint16_t port = ntohs(address.sin_port);
  EXPECT_FALSE(find_port_holder(port));  // bound, but nobody listens
  ASSERT_EQ(::listen(fd.get(), 1), 0);
  auto holder = find_port_holder(port);
  ASSERT_TRUE(holder);
  EXPECT_EQ(holder->pid, ::getpid());
  EXPECT_EQ(holder->program, process_name(::getpid()));
  EXPECT_FALSE(holder->user.empty());
}

TEST(Pidfile, KnowsTheLivingFromTheDead) {
  TestDir dir;
  std::string path = dir.path + "/pid";
  EXPECT_FALSE(live_pid(path));
  pid_t pid = start_sleeper();
  ASSERT_TRUE(write_pidfile(path, pid).ok());
  EXPECT_EQ(live_pid(path), pid);
  UniqueFd watch(open_pidfile(path));
  ASSERT_TRUE(signal_pidfile(path, SIGTERM).ok());
  pollfd poll_fd{watch.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&poll_fd, 1, 10000), 1);
  EXPECT_FALSE(live_pid(path));  // a zombie is not alive
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  EXPECT_EQ(signal_pidfile(path, SIGTERM).error().code, Code::kNotFound);
}

TEST(Pidfile, NeverSignalsARecycledPid) {
  TestDir dir;
  std::string path = dir.path + "/pid";
  pid_t pid = start_sleeper();
  ASSERT_TRUE(write_file_atomic(path, std::to_string(pid) + " 12345\n", 0600).ok());
  EXPECT_FALSE(live_pid(path));
  EXPECT_EQ(open_pidfile(path), -1);
  EXPECT_FALSE(signal_pidfile(path, SIGKILL).ok());
  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), 0);  // still there
  end(pid);
  ASSERT_TRUE(write_file_atomic(path, "garbage", 0600).ok());
  EXPECT_FALSE(live_pid(path));
  EXPECT_FALSE(write_pidfile(path, pid).ok());
}

TEST(Signals, AreReadFromADescriptor) {
  auto signals = SignalFd::open({SIGUSR1, SIGUSR2});
  ASSERT_TRUE(signals.ok());
  EXPECT_FALSE(signals->read());
  ::kill(::getpid(), SIGUSR2);
  pollfd poll_fd{signals->fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&poll_fd, 1, 5000), 1);
  EXPECT_EQ(signals->read(), SIGUSR2);
  EXPECT_FALSE(signals->read());
}

TEST(Signals, HaveNames) {
  EXPECT_EQ(signal_name(SIGTERM), "SIGTERM");
  EXPECT_EQ(signal_name(SIGKILL), "SIGKILL");
  EXPECT_EQ(signal_name(77), "signal 77");
}

}  // namespace
}  // namespace pgb::os
