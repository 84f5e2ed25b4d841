// Pid files that a recycled pid cannot fool: they hold the process's kernel start time too.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"

namespace pgb::os {

// Stores "pid start_time". kNotFound if there is no such process (any more).
Status write_pidfile(const std::string& path, pid_t pid);

// The pid, if that very process still runs (a zombie does not).
std::optional<pid_t> live_pid(const std::string& path);

// Signals that very process. kNotFound if it is gone; never another one: the check and the signal hold the
// same pidfd where the kernel has them.
Status signal_pidfile(const std::string& path, int signal);

// A pidfd of that very process, for poll(2) (readable once it has ended); -1 if it is gone.
int open_pidfile(const std::string& path);

}  // namespace pgb::os
