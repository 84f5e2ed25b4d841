#include "os/lock_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <ctime>

#include "base/strings.h"
#include "os/file.h"

namespace pgb::os {
namespace {

std::string now_text() {
  std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
  return text;
}

}  // namespace

namespace {

Status take(int fd, const std::string& path) {
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return errno_error("lock", path, errno);
    auto holder = read_file(path, 4096);
    std::string text = holder.ok() ? std::string(trim(*holder)) : "";
    if (text.empty()) text = "holder not known yet";
    return Error(Code::kBusy, path + " is locked by another command (" + text + ")")
        .with("try", "wait until it has ended, then run this again");
  }
  return {};
}

// A command that ends a cluster removes the file with the rest: who opened it before that holds a lock on nothing.
bool is_still_there(int fd, const std::string& path) {
  struct stat ours {};
  struct stat there {};
  return ::fstat(fd, &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
         ours.st_dev == there.st_dev;
}

}  // namespace

Result<LockFile> LockFile::acquire(const std::string& path, const std::string& who) {
  UniqueFd fd;
  do {
    fd = UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return errno_error("open lock file", path, errno);
    PGB_TRY(take(fd.get(), path));
  } while (!is_still_there(fd.get(), path));
  std::string line = "pid " + std::to_string(::getpid()) + ", " + who + ", since " + now_text() + "\n";
  if (::ftruncate(fd.get(), 0) != 0 ||
      ::pwrite(fd.get(), line.data(), line.size(), 0) != static_cast<ssize_t>(line.size())) {
    return errno_error("write lock file", path, errno);
  }
  return LockFile(std::move(fd));
}

// The line is emptied while the lock is still held, so that nobody reads of a holder that has gone.
LockFile::~LockFile() {
  if (fd_ && ::ftruncate(fd_.get(), 0) != 0) return;
}

}  // namespace pgb::os
