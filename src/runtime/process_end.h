// Ends a local unit's program and whatever it leaves behind. Used by the process runtime only.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "runtime/process_unit.h"

namespace pgb::runtime {

// SIGTERM to the program, wait, SIGKILL at the deadline; then the same, quicker, for what is left of it: its
// session, and servers that work in the unit's data directory. Not running: only the second part. kTimeout if
// something survives SIGKILL for some seconds (a hung disk).
Status end_unit(const UnitDir& dir, Deadline deadline);

// SIGKILL to the program and all that belongs to it, at once. Not running: success. kTimeout as above.
Status kill_unit(const UnitDir& dir);

// The unit's processes besides its program: members of its session (if `leader` is given, which must be alive or
// have been so a moment ago) and postgres processes whose working directory is in the data directory.
std::vector<pid_t> followers(const UnitDir& dir, std::optional<pid_t> leader);

// The unit's running program: by its pid file, or, where an init was ended before it could write one, by its
// arguments. Writes nothing.
std::optional<pid_t> look_for_program(const UnitDir& dir, const std::vector<std::string>& argv);

// The program, if it runs (the end of one that was killed is waited for): by the pid file, or, if an earlier command
// was ended between starting it and writing that file, by its exact command line (and the pid file is written then).
std::optional<pid_t> find_program_of(const UnitDir& dir, const std::vector<std::string>& argv);

}  // namespace pgb::runtime
