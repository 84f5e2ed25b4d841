#include "cluster/disk_filler.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "os/file.h"

namespace pgb::cluster {

namespace {

constexpr uint64_t kMost = 64ull << 30;  // what is larger was not made to be filled
constexpr uint64_t kStep = 1ull << 20;   // a file system keeps a little for itself

Result<dev_t> device_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return os::errno_error("look at", path, errno);
  return info.st_dev;
}

Error not_alone(const std::string& dir, const std::string& other) {
  return Error(Code::kNotReady, dir + " is on the same file system as " + other + ": to fill it would hit both")
      .with("changed", "nothing")
      .with("try", "stop the node and move its data to a file system of their own, mounted at " + dir);
}

}  // namespace

Result<uint64_t> DiskFiller::check(const std::string& dir, const std::vector<std::string>& others) {
  auto own = device_of(dir);
  if (!own.ok()) return std::move(own).error();
  std::vector<std::string> all = {dir.substr(0, dir.rfind('/'))};
  all.insert(all.end(), others.begin(), others.end());
  for (const std::string& other : all) {
    auto theirs = device_of(other);
    if (!theirs.ok()) return std::move(theirs).error();
    if (*theirs == *own) return not_alone(dir, other);
  }
  auto free = os::free_bytes(dir);
  if (!free.ok() || *free <= kMost) return free;
  return Error(Code::kNotReady, dir + " has " + std::to_string(*free >> 30) + " GB free, and a drill takes at most " +
                                    std::to_string(kMost >> 30) + " GB")
      .with("changed", "nothing")
      .with("try", "pgbalancer_cluster drill kill: a smaller failure");
}

Status DiskFiller::fill(const std::string& dir) {
  os::UniqueFd file(::open(dir.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (!file) return os::errno_error("make a file without a name in", dir, errno);
  auto free = os::free_bytes(dir);
  if (!free.ok()) return std::move(free).error();
  // Others go on writing: what is asked for may be more than is there by now.
  for (uint64_t bytes = *free;; bytes -= std::min(bytes, std::max(kStep, bytes / 100))) {
    if (bytes == 0 || ::fallocate(file.get(), 0, 0, static_cast<off_t>(bytes)) == 0) break;
    if (errno == ENOSPC || errno == EINTR) continue;
    if (errno != EOPNOTSUPP) return os::errno_error("take room in", dir, errno);
    return Error(Code::kNotReady, "the file system at " + dir + " cannot take room without writing it")
        .with("changed", "nothing");
  }
  file_ = std::move(file);
  return {};
}

}  // namespace pgb::cluster
