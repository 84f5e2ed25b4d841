// Units as processes of this machine: one directory a unit, one detached program a unit. Started by root, the
// programs run as user postgres (or nobody), since PostgreSQL refuses root.
#pragma once

#include <memory>
#include <string>

#include "runtime/runtime.h"

namespace pgb::runtime {

struct ProcessOptions {
  std::string state_dir;        // absolute; made if absent
  std::string agent_binary;     // runs as: agent_binary --config <unit>/agent.json
  std::string balancer_binary;  // runs as: balancer_binary --config <unit>/balancer.json
  std::string bin_dir;          // PostgreSQL's programs if the cluster names none; empty: the newest found
  Trace trace;                  // may be empty; called from any thread that uses the runtime
};

// <state_dir>/<cluster>/units/<name>/ holds the unit's files as given, unit.json, log, pid and data/. The programs
// listen on the outside ports themselves; nothing is forwarded. Other files in <state_dir>/<cluster> are the
// caller's: they are never touched, and while they are there the directory stays. kConfig if a path is not absolute;
// kNotFound if root has neither user to run programs as.
Result<std::unique_ptr<Runtime>> make_process_runtime(ProcessOptions options);

// The directory a unit's program finds as its own ("data" below it is the data directory).
std::string process_unit_dir(const std::string& state_dir, const std::string& cluster, const std::string& name);

}  // namespace pgb::runtime
