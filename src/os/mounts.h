// Which file systems are mounted where, as this process sees it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pgb::os {

struct Mount {
  std::string device;  // "8:1": one for all mounts of a file system, its subvolumes included
  std::string root;    // what of the file system stands there: "/", or a directory of it or a subvolume
  std::string point;   // where
};

// The text of /proc/PID/mountinfo, oldest first; lines that are none are left out.
std::vector<Mount> parse_mounts(std::string_view mountinfo);
Result<std::vector<Mount>> mounts();  // kIo

// The one that an absolute path without symbolic links lies on; null only if there is none at all. Owned by `mounts`.
const Mount* mount_of(const std::vector<Mount>& mounts, std::string_view path);

}  // namespace pgb::os
