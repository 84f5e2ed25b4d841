// Runs one of PostgreSQL's own programs to its end.
#pragma once

#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"

namespace pgb::agent {

// argv[0] is the program's path; `env` holds KEY=VALUE. It is killed if we die. kTool with the last
// lines it said, kDiskFull if that is what they say, kTimeout.
Status run_tool(std::vector<std::string> argv, std::vector<std::string> env, Deadline deadline);

}  // namespace pgb::agent
