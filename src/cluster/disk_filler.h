// Takes the room of a file system on purpose: with a file that has no name, so that the room is back as soon as this
// program has ended, in whatever way.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/unique_fd.h"

namespace pgb::cluster {

class DiskFiller {
 public:
  // Whether `dir` is all of a file system that is mounted nowhere else and that none of `others` is on, and which has
  // not more free room than a drill may take; kNotReady says why not. Touches nothing. The free bytes.
  static Result<uint64_t> check(const std::string& dir, const std::vector<std::string>& others);

  // All that users may have, at once. kNotReady: the file system cannot do it; kIo.
  Status fill(const std::string& dir);
  void give_back() { file_ = os::UniqueFd(); }

 private:
  os::UniqueFd file_;
};

}  // namespace pgb::cluster
