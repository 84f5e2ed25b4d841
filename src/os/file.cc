#include "os/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <functional>

#include "os/unique_fd.h"

namespace pgb::os {
namespace {

std::string parent_of(const std::string& path) {
  std::string bare = path;
  while (bare.size() > 1 && bare.back() == '/') bare.pop_back();
  size_t slash = bare.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : bare.substr(0, slash);
}

Status write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("write", path, errno);
    content.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status sync_dir(const std::string& path) {
  UniqueFd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return errno_error("open", path, errno);
  // Some file systems cannot sync a directory; that is theirs to know.
  if (::fsync(dir.get()) != 0 && errno != EINVAL && errno != ENOTSUP) return errno_error("sync", path, errno);
  return {};
}

// Takes the descriptor; calls `visit` for each name. A visit's error ends the walk.
Status each_entry(UniqueFd dir_fd, const std::string& path, const std::function<Status(int, const char*)>& visit) {
  DIR* dir = ::fdopendir(dir_fd.get());
  if (dir == nullptr) return errno_error("list", path, errno);
  int fd = dir_fd.release();  // closed by closedir
  Status status;
  // Names first: removing while reading may skip entries on some file systems.
  std::vector<std::string> names;
  errno = 0;
  while (dirent* entry = ::readdir(dir)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
    errno = 0;
  }
  if (errno != 0) status = errno_error("list", path, errno);
  for (size_t i = 0; status.ok() && i < names.size(); ++i) status = visit(fd, names[i].c_str());
  ::closedir(dir);
  return status;
}

UniqueFd open_dir_at(int at, const char* name) {
  return UniqueFd(::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

Status remove_at(int at, const char* name, const std::string& path) {
  if (::unlinkat(at, name, 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return errno_error("remove", path, errno);
  int unlink_errno = errno;
  UniqueFd dir = open_dir_at(at, name);
  if (!dir) {
    if (errno == ENOENT) return {};
    return errno_error("remove", path, errno == ENOTDIR ? unlink_errno : errno);
  }
  PGB_TRY(each_entry(std::move(dir), path,
                     [&](int fd, const char* child) { return remove_at(fd, child, path + "/" + child); }));
  if (::unlinkat(at, name, AT_REMOVEDIR) != 0 && errno != ENOENT) return errno_error("remove", path, errno);
  return {};
}

Status size_at(int at, const char* name, const std::string& path, uint64_t& sum) {
  struct stat info {};
  if (::fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};  // a live server deletes files under us
    return errno_error("stat", path, errno);
  }
  if (S_ISREG(info.st_mode)) sum += static_cast<uint64_t>(info.st_blocks) * 512;
  if (!S_ISDIR(info.st_mode)) return {};
  UniqueFd dir = open_dir_at(at, name);
  if (!dir) {
    if (errno == ENOENT) return {};
    return errno_error("open", path, errno);
  }
  return each_entry(std::move(dir), path,
                    [&](int fd, const char* child) { return size_at(fd, child, path + "/" + child, sum); });
}

Status chown_at(int at, const char* name, const std::string& path, uid_t uid, gid_t gid) {
  if (::fchownat(at, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT && at != AT_FDCWD) return {};
    return errno_error("chown", path, errno);
  }
  UniqueFd dir = open_dir_at(at, name);
  if (!dir) {
    // Not a directory, a symbolic link, or gone: nothing below it.
    if (errno == ENOTDIR || errno == ELOOP || errno == ENOENT || errno == ENXIO) return {};
    return errno_error("open", path, errno);
  }
  return each_entry(std::move(dir), path,
                    [&](int fd, const char* child) { return chown_at(fd, child, path + "/" + child, uid, gid); });
}

}  // namespace

Error errno_error(std::string_view verb, std::string_view path, int err) {
  Code code = err == ENOSPC || err == EDQUOT ? Code::kDiskFull : Code::kIo;
  return Error(code, "cannot " + std::string(verb) + " " + std::string(path) + ": " + std::strerror(err));
}

Result<std::string> read_file(const std::string& path, size_t limit) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    Error error = errno_error("read", path, errno);
    if (errno == ENOENT || errno == ENOTDIR) error.code = Code::kNotFound;
    return error;
  }
  std::string content;
  char buffer[16384];
  for (;;) {
    ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("read", path, errno);
    if (n == 0) return content;
    content.append(buffer, static_cast<size_t>(n));
    if (content.size() > limit) {
      return Error(Code::kIo, "cannot read " + path + ": longer than " + std::to_string(limit) + " bytes");
    }
  }
}

namespace {

// `durable`: it is on the disk before it takes the name.
Status replace(const std::string& path, std::string_view content, mode_t mode, const std::optional<Owner>& owner,
               bool durable) {
  static std::atomic<unsigned> counter{0};
  std::string temp = path + ".tmp." + std::to_string(::getpid()) + "." + std::to_string(counter++);
  ::unlink(temp.c_str());  // left by a killed process that had our number
  UniqueFd fd(::open(temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return errno_error("create", temp, errno);
  Status status = write_all(fd.get(), content, path);
  if (status.ok() && owner && ::fchown(fd.get(), owner->uid, owner->gid) != 0) {
    status = errno_error("chown", path, errno);
  }
  if (status.ok() && ::fchmod(fd.get(), mode) != 0) status = errno_error("chmod", path, errno);
  if (status.ok() && durable && ::fsync(fd.get()) != 0) status = errno_error("sync", path, errno);
  if (status.ok() && ::rename(temp.c_str(), path.c_str()) != 0) status = errno_error("replace", path, errno);
  if (!status.ok()) ::unlink(temp.c_str());
  return status;
}

}  // namespace

Status write_file_atomic(const std::string& path, std::string_view content, mode_t mode, std::optional<Owner> owner) {
  PGB_TRY(replace(path, content, mode, owner, true));
  return sync_dir(parent_of(path));
}

Status replace_file(const std::string& path, std::string_view content, mode_t mode) {
  return replace(path, content, mode, std::nullopt, false);
}

namespace {

// Its blocks are taken before anybody needs them.
void keep_spare(const std::string& spare, size_t room) {
  UniqueFd fd(::open(spare.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (fd && ::fallocate(fd.get(), 0, 0, static_cast<off_t>(room)) != 0) ::unlink(spare.c_str());
}

bool swap_in(const std::string& spare, const std::string& path) {
  if (::renameat2(AT_FDCWD, spare.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) == 0) return true;
  return ::rename(spare.c_str(), path.c_str()) == 0;  // there was none yet, or the file system cannot exchange
}

}  // namespace

Status write_file_in_room(const std::string& path, std::string_view content, mode_t mode, size_t room) {
  const std::string spare = path + ".spare";
  std::string padded(content);
  if (padded.size() < room) padded.resize(room, ' ');
  const bool fits = padded.size() == room;
  UniqueFd fd(fits ? ::open(spare.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC) : -1);
  const bool done = fd && write_all(fd.get(), padded, spare).ok() && ::fchmod(fd.get(), mode) == 0 &&
                    ::fsync(fd.get()) == 0 && swap_in(spare, path);
  if (done) {
    PGB_TRY(sync_dir(parent_of(path)));
  } else {
    ::unlink(spare.c_str());
    PGB_TRY(write_file_atomic(path, padded, mode));
  }
  keep_spare(spare, room);
  return {};
}

Status make_dirs(const std::string& path, mode_t mode) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return {};
    return errno_error("make directory", path, ENOTDIR);
  }
  std::string parent = parent_of(path);
  if (parent != path && parent != ".") PGB_TRY(make_dirs(parent, mode));
  if (::mkdir(path.c_str(), mode & 0700) != 0) {
    if (errno == EEXIST) return {};  // another thread was faster
    return errno_error("make directory", path, errno);
  }
  if (::chmod(path.c_str(), mode) != 0) return errno_error("chmod", path, errno);  // past the umask
  return {};
}

Status remove_tree(const std::string& path) {
  std::string bare = path;
  while (bare.size() > 1 && bare.back() == '/') bare.pop_back();
  if (bare.empty() || bare == "/") return Error(Code::kInternal, "refusing to remove '" + path + "'");
  return remove_at(AT_FDCWD, bare.c_str(), bare);
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

Result<uint64_t> tree_size(const std::string& path) {
  uint64_t sum = 0;
  if (!exists(path)) return Error(Code::kNotFound, path + " does not exist");
  PGB_TRY(size_at(AT_FDCWD, path.c_str(), path, sum));
  return sum;
}

Result<uint64_t> free_bytes(const std::string& path) {
  struct statvfs info {};
  std::string at = path;
  while (::statvfs(at.c_str(), &info) != 0) {
    std::string parent = parent_of(at);
    if (errno != ENOENT || parent == at) return errno_error("ask the free space of", at, errno);
    at = parent;
  }
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

Result<std::vector<std::string>> list_dir(const std::string& path) {
  UniqueFd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) {
    Error error = errno_error("list", path, errno);
    if (errno == ENOENT) error.code = Code::kNotFound;
    return error;
  }
  std::vector<std::string> names;
  PGB_TRY(each_entry(std::move(dir), path, [&](int, const char* name) {
    names.emplace_back(name);
    return Status();
  }));
  std::sort(names.begin(), names.end());
  return names;
}

Status chown_tree(const std::string& path, uid_t uid, gid_t gid) {
  return chown_at(AT_FDCWD, path.c_str(), path, uid, gid);
}

std::string self_exe_dir() {
  char buffer[PATH_MAX];
  ssize_t n = ::readlink("/proc/self/exe", buffer, sizeof buffer);
  if (n <= 0) return ".";
  return parent_of(std::string(buffer, static_cast<size_t>(n)));
}

}  // namespace pgb::os
