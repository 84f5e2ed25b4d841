#include "runtime/process_end.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>

#include "os/file.h"
#include "os/pidfile.h"
#include "os/process.h"
#include "os/unique_fd.h"

namespace pgb::runtime {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kKillWait{5000};   // how long something may survive SIGKILL
constexpr milliseconds kGraceWait{3000};  // for leftovers, before SIGKILL

os::UniqueFd open_pid(pid_t pid) { return os::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

void send(const os::UniqueFd& fd, int signal) { ::syscall(SYS_pidfd_send_signal, fd.get(), signal, nullptr, 0); }

// True if the process has ended before the deadline.
bool wait_end(const os::UniqueFd& fd, Deadline deadline) {
  for (;;) {
    pollfd entry{fd.get(), POLLIN, 0};
    int n = ::poll(&entry, 1, deadline.poll_ms());
    if (n > 0) return true;
    if (n == 0 && deadline.expired()) return false;
    if (n < 0 && errno != EINTR) return false;
  }
}

bool is_postgres(pid_t pid) { return os::process_name(pid).find("postgres") != std::string::npos; }

bool works_in(pid_t pid, const std::string& data_dir) {
  std::string cwd = os::process_cwd(pid);
  return cwd == data_dir || cwd.compare(0, data_dir.size() + 1, data_dir + "/") == 0;
}

bool is_follower(pid_t pid, const std::string& data_dir, std::optional<pid_t> leader) {
  if (!os::process_start_time(pid)) return false;  // a zombie
  if (leader && os::session_of(pid) == leader) return true;
  // Each postgres process makes a session of its own. A shell that somebody has opened there is not one.
  return works_in(pid, data_dir) && is_postgres(pid);
}

std::string real_path(const std::string& path) {
  std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), ::free);
  return real ? std::string(real.get()) : path;
}

struct Target {
  pid_t pid;
  os::UniqueFd fd;
};

// Held by descriptor, checked after opening: no recycled pid is ever signalled.
std::vector<Target> open_followers(const UnitDir& dir, std::optional<pid_t> leader) {
  std::string data_dir = real_path(dir.data_dir());
  std::vector<Target> targets;
  for (pid_t pid : followers(dir, leader)) {
    os::UniqueFd fd = open_pid(pid);
    if (fd && is_follower(pid, data_dir, leader)) targets.push_back({pid, std::move(fd)});
  }
  return targets;
}

// Again and again, since a server may start a process while we look.
Status kill_followers(const UnitDir& dir, std::optional<pid_t> leader) {
  Deadline limit = Deadline::after(kKillWait);
  std::vector<Target> targets = open_followers(dir, leader);
  for (; !targets.empty(); targets = open_followers(dir, leader)) {
    for (const Target& target : targets) send(target.fd, SIGKILL);
    for (const Target& target : targets) {
      if (wait_end(target.fd, limit)) continue;
      return Error(Code::kTimeout, "process " + std::to_string(target.pid) + " of " + dir.name() + " survives SIGKILL")
          .with("try", "look at it with ps; a process in state D waits for a disk");
    }
    if (limit.expired()) return Error(Code::kTimeout, "processes of " + dir.name() + " keep coming back");
  }
  return {};
}

Status end_followers(const UnitDir& dir, std::optional<pid_t> leader, Deadline deadline) {
  std::vector<Target> targets = open_followers(dir, leader);
  if (targets.empty()) return {};
  // SIGQUIT is postgres' immediate shutdown, which recovery mends.
  for (const Target& target : targets) send(target.fd, is_postgres(target.pid) ? SIGQUIT : SIGTERM);
  Deadline grace = deadline.sooner(kGraceWait);
  for (const Target& target : targets) wait_end(target.fd, grace);
  return kill_followers(dir, leader);
}

}  // namespace

std::vector<pid_t> followers(const UnitDir& dir, std::optional<pid_t> leader) {
  std::string data_dir = real_path(dir.data_dir());
  std::vector<pid_t> found;
  for (pid_t pid : os::all_pids()) {
    if (pid != ::getpid() && pid != leader && is_follower(pid, data_dir, leader)) found.push_back(pid);
  }
  return found;
}

std::optional<pid_t> look_for_program(const UnitDir& dir, const std::vector<std::string>& argv) {
  if (auto pid = os::live_pid(dir.pid_file())) return pid;
  for (pid_t pid : os::all_pids()) {
    if (os::cmdline(pid) == argv && os::session_of(pid) == pid) return pid;
  }
  return std::nullopt;
}

std::optional<pid_t> find_program_of(const UnitDir& dir, const std::vector<std::string>& argv) {
  auto pid = look_for_program(dir, argv);
  if (pid && os::is_ending(*pid)) {
    if (const os::UniqueFd fd = open_pid(*pid)) wait_end(fd, Deadline::after(kKillWait));
    pid = look_for_program(dir, argv);
  }
  if (pid && os::live_pid(dir.pid_file()) != pid && !os::write_pidfile(dir.pid_file(), *pid).ok()) return std::nullopt;
  return pid;
}

Status kill_unit(const UnitDir& dir) {
  auto pid = os::live_pid(dir.pid_file());
  os::UniqueFd fd(pid ? os::open_pidfile(dir.pid_file()) : -1);
  const std::optional<pid_t> leader = fd ? pid : std::nullopt;
  const std::vector<Target> targets = open_followers(dir, leader);
  if (fd) send(fd, SIGKILL);
  for (const Target& target : targets) send(target.fd, SIGKILL);
  if (fd && !wait_end(fd, Deadline::after(kKillWait))) {
    return Error(Code::kTimeout, "process " + std::to_string(*pid) + " of " + dir.name() + " survives SIGKILL");
  }
  PGB_TRY(kill_followers(dir, leader));
  return os::remove_tree(dir.pid_file());
}

Status end_unit(const UnitDir& dir, Deadline deadline) {
  auto pid = os::live_pid(dir.pid_file());
  os::UniqueFd fd(pid ? os::open_pidfile(dir.pid_file()) : -1);
  if (fd) {
    send(fd, SIGTERM);
    if (!wait_end(fd, deadline)) {
      send(fd, SIGKILL);
      if (!wait_end(fd, Deadline::after(kKillWait))) {
        return Error(Code::kTimeout, "process " + std::to_string(*pid) + " of " + dir.name() + " survives SIGKILL");
      }
    }
  }
  PGB_TRY(end_followers(dir, fd ? pid : std::nullopt, deadline));
  return os::remove_tree(dir.pid_file());
}

}  // namespace pgb::runtime
