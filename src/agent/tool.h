// Runs one of PostgreSQL's own programs to its end.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"

namespace pgb::agent {

// argv[0] is the program's path; `env` holds KEY=VALUE. It is killed if we die. kTool with the last
// lines it said, kDiskFull if that is what they say, kTimeout. `out` gets what it printed,
// what it complained about first.
Status run_tool(std::vector<std::string> argv, std::vector<std::string> env, Deadline deadline,
                std::string* out = nullptr);

// Held while a tool runs: its end is for run_tool() to learn of, not for whoever collects orphans.
std::mutex& tools();

}  // namespace pgb::agent
