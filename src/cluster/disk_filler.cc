#include "cluster/disk_filler.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "os/file.h"
#include "os/mounts.h"

namespace pgb::cluster {

namespace {

constexpr uint64_t kMost = 64ull << 30;  // what is larger was not made to be filled
constexpr uint64_t kStep = 1ull << 20;   // a file system keeps a little for itself

Result<std::string> real_path(const std::string& path) {
  std::unique_ptr<char, decltype(&std::free)> found(::realpath(path.c_str(), nullptr), &std::free);
  if (!found) return os::errno_error("look at", path, errno);
  return std::string(found.get());
}

Error not_alone(const std::string& dir, const std::string& with) {
  return Error(Code::kNotReady, dir + " " + with + ": to fill it would hit both")
      .with("changed", "nothing")
      .with("try", "stop the node and move its data to a file system of their own, mounted at " + dir + " alone");
}

std::string shares(const std::string& other) { return "is on the same file system as " + other; }

// A directory or a subvolume that is mounted has the room of all of its file system.
Status owns_file_system(const std::vector<os::Mount>& mounts, const std::string& dir, const std::string& path) {
  const os::Mount* own = os::mount_of(mounts, path);
  if (own == nullptr || own->point != path) return not_alone(dir, shares(dir.substr(0, dir.rfind('/'))));
  if (own->root != "/") return not_alone(dir, "is only " + own->root + " of a file system that has more on it");
  const auto elsewhere = std::find_if(mounts.begin(), mounts.end(), [&](const os::Mount& mount) {
    return mount.device == own->device && mount.point != own->point;
  });
  return elsewhere == mounts.end() ? Status() : Status(not_alone(dir, shares(elsewhere->point)));
}

}  // namespace

Result<uint64_t> DiskFiller::check(const std::string& dir, const std::vector<std::string>& others) {
  auto path = real_path(dir);
  if (!path.ok()) return std::move(path).error();
  auto mounts = os::mounts();
  if (!mounts.ok()) return std::move(mounts).error();
  PGB_TRY(owns_file_system(*mounts, dir, *path));
  const std::string device = os::mount_of(*mounts, *path)->device;
  for (const std::string& other : others) {
    auto theirs = real_path(other);
    if (!theirs.ok()) return std::move(theirs).error();
    if (os::mount_of(*mounts, *theirs)->device == device) return not_alone(dir, shares(other));
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
