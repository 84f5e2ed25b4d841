// For tests: a small file system of their own, gone with the object. Only root can mount one.
#pragma once

#include <sys/mount.h>

#include <string>

#include "os/test_dir.h"

namespace pgb::os {

struct TestDisk {
  explicit TestDisk(const std::string& size)  // as tmpfs takes it: "64k"
      : mounted(::mount("tmpfs", dir.path.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0) {}
  TestDisk(const TestDisk&) = delete;
  TestDisk& operator=(const TestDisk&) = delete;
  ~TestDisk() {
    if (mounted) ::umount(dir.path.c_str());
  }
  TestDir dir;
  bool mounted;
};

}  // namespace pgb::os
