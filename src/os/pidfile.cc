#include "os/pidfile.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>

#include "base/strings.h"
#include "os/file.h"
#include "os/process.h"
#include "os/unique_fd.h"

namespace pgb::os {
namespace {

struct Identity {
  pid_t pid = 0;
  uint64_t start_time = 0;
};

std::optional<Identity> read_identity(const std::string& path) {
  auto text = read_file(path, 4096);
  if (!text.ok()) return std::nullopt;
  std::vector<std::string> parts = split(trim(*text), ' ');
  if (parts.size() != 2) return std::nullopt;
  auto pid = parse_u64(parts[0]);
  auto start = parse_u64(parts[1]);
  if (!pid || !start || *pid == 0 || *pid > INT_MAX) return std::nullopt;
  return Identity{static_cast<pid_t>(*pid), *start};
}

int pidfd_open(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

}  // namespace

Status write_pidfile(const std::string& path, pid_t pid) {
  auto start = process_start_time(pid);
  if (!start) return Error(Code::kNotFound, "process " + std::to_string(pid) + " has ended already");
  return write_file_atomic(path, std::to_string(pid) + " " + std::to_string(*start) + "\n", 0644);
}

std::optional<pid_t> live_pid(const std::string& path) {
  auto identity = read_identity(path);
  if (!identity || process_start_time(identity->pid) != identity->start_time) return std::nullopt;
  return identity->pid;
}

int open_pidfile(const std::string& path) {
  auto identity = read_identity(path);
  if (!identity) return -1;
  UniqueFd fd(pidfd_open(identity->pid));
  // The descriptor first, then the check: from here on the pid cannot change hands under us.
  if (process_start_time(identity->pid) != identity->start_time) return -1;
  return fd.release();
}

Status signal_pidfile(const std::string& path, int signal) {
  UniqueFd fd(open_pidfile(path));
  if (fd) {
    if (::syscall(SYS_pidfd_send_signal, fd.get(), signal, nullptr, 0) == 0) return {};
    if (errno != ENOSYS && errno != ESRCH) return errno_error("signal the process of", path, errno);
  }
  auto pid = live_pid(path);
  if (!pid) return Error(Code::kNotFound, "the process of " + path + " is not running");
  if (::kill(*pid, signal) != 0) return errno_error("signal the process of", path, errno);
  return {};
}

}  // namespace pgb::os
