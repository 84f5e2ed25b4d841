// What /proc tells about other processes. All of them may be gone the moment after.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pgb::os {

// The kernel's start time of a process in ticks since boot (field 22 of /proc/PID/stat): with the pid it
// names one process for ever. Nothing if it is gone or a zombie.
std::optional<uint64_t> process_start_time(pid_t pid);

std::vector<std::string> cmdline(pid_t pid);        // empty if gone or a kernel thread
std::optional<uint64_t> resident_bytes(pid_t pid);  // RSS
std::optional<pid_t> session_of(pid_t pid);         // session id
std::string process_cwd(pid_t pid);                 // empty if gone or not ours to see
std::string process_name(pid_t pid);                // "postgres"; empty if gone
std::vector<pid_t> all_pids();
std::vector<pid_t> children_of(pid_t parent);  // zombies not among them
char process_state(pid_t pid);                 // 'R', 'S', 'D', 'T' (stopped), 'Z'; 0 if gone

// Killed, or at its end: it runs nothing any more, but what it holds is not free yet. False if it is gone.
// Source: proc(5), the pending signals of status and PF_EXITING in field 9 of stat.
bool is_ending(pid_t pid);

struct PortHolder {
  pid_t pid = 0;        // 0: listening, but the process is not ours to see
  std::string program;  // may be empty
  std::string user;     // of the socket; the number if it has no name
};

// Who listens on this TCP port on any local address; nothing if nobody does (in our network namespace).
std::optional<PortHolder> find_port_holder(uint16_t port);

}  // namespace pgb::os
