#include "agent/stale_pid.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/log.h"
#include "os/file.h"
#include "os/process.h"

namespace pgb::agent {
namespace {

// It works in its data directory. Of whom we may not look at we know nothing.
bool may_be_server_of(pid_t pid, const std::string& data_dir) {
  struct stat there {
  }, here{};
  if (stat(("/proc/" + std::to_string(pid) + "/cwd").c_str(), &there) != 0) return errno != ENOENT;
  if (stat(data_dir.c_str(), &here) != 0) return true;
  return there.st_dev == here.st_dev && there.st_ino == here.st_ino && os::process_name(pid) == "postgres";
}

}  // namespace

Status disown_stale_pid(const std::string& data_dir) {
  const std::string file = data_dir + "/postmaster.pid";
  const auto text = os::read_file(file);
  if (!text.ok()) return {};
  const auto pid = static_cast<pid_t>(std::strtol(text->c_str(), nullptr, 10));
  const size_t end = text->find('\n');
  if (pid <= 0 || pid == getpid() || end == std::string::npos || kill(pid, 0) != 0) return {};
  if (may_be_server_of(pid, data_dir)) return {};
  log::info("postmaster.pid names " + std::to_string(pid) + ", which is no server of this directory");
  return os::write_file_atomic(file, std::to_string(getpid()) + text->substr(end), 0600);
}

}  // namespace pgb::agent
