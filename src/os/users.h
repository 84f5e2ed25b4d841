// Users from /etc/passwd itself: a static program cannot load the name service's plugins.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace pgb::os {

struct User {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string home;
};

// kNotFound if there is no such user. `passwd` is for tests.
Result<User> find_user(const std::string& name, const std::string& passwd = "/etc/passwd");
Result<User> find_uid(uid_t uid, const std::string& passwd = "/etc/passwd");

}  // namespace pgb::os
