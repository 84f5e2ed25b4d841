// For tests: a directory of their own, gone with the object.
#pragma once

#include <cstdlib>
#include <string>

#include "os/file.h"

namespace pgb::os {

struct TestDir {
  TestDir() {
    char name[] = "/tmp/pgb-test-XXXXXX";
    if (const char* made = ::mkdtemp(name)) path = made;
  }
  TestDir(const TestDir&) = delete;
  TestDir& operator=(const TestDir&) = delete;
  ~TestDir() {
    if (!path.empty()) (void)remove_tree(path).ok();
  }
  std::string path;
};

}  // namespace pgb::os
