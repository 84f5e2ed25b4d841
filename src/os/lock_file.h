// One command at a time on a cluster: an flock(2) that the kernel drops with the process.
#pragma once

#include <string>

#include "base/result.h"
#include "os/unique_fd.h"

namespace pgb::os {

class LockFile {
 public:
  // Takes the lock without waiting and writes "pid N, WHO, since TIME" into the file. kBusy, with that
  // line of the holder in the message, if another process (or another LockFile) holds it; kIo if the
  // file cannot be made. Held until destruction; the file itself stays.
  static Result<LockFile> acquire(const std::string& path, const std::string& who);

  LockFile(LockFile&&) noexcept = default;
  LockFile& operator=(LockFile&&) noexcept = default;
  ~LockFile();

 private:
  explicit LockFile(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace pgb::os
