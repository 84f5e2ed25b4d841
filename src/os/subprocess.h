// Starts programs: fork and exec, never a shell. Every descriptor but 0, 1, 2 is closed in the
// child. Thread-safe: between fork and exec the child makes only async-signal-safe calls.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"

namespace pgb::os {

struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH unless it holds a slash
  std::vector<std::string> env;   // "KEY=VALUE", in addition to (and instead of) ours
  bool without_libpq = false;     // what libpq reads from ours (PGHOST, PGPASSWORD, …) is not handed down
  std::string cwd;                // empty: ours
  std::string stdin_text;         // empty: /dev/null. Only run() feeds it
  std::string stdout_file;        // appended to (made with 0600); empty: captured by run(), else /dev/null
  std::string stderr_file;        // likewise; may be the same file
  bool inherit_output = false;    // spawn(): ours instead of /dev/null where no file is named
  // The program need not be within that user's reach, only executable for it: we open it.
  std::optional<uid_t> uid;  // supplementary groups are dropped when it is set
  std::optional<gid_t> gid;
  bool new_session = false;  // setsid(2); run() always makes a process group
  int pdeathsig = 0;         // signal sent to the child when our starting thread ends
};

struct RunResult {
  int exit_code = 0;  // -1 if a signal ended it
  int signal = 0;     // 0 if it exited by itself
  std::string out;    // captured, at most 64 MB each
  std::string err;
};

// Runs it to its end. A failure to start is kIo (kNotFound if the program does not exist) and names
// the program; a program that fails is a success here: look at exit_code. At the deadline its whole
// process group is killed and reaped: kTimeout.
Result<RunResult> run(const SpawnOptions& options, Deadline deadline);

// Starts it; the caller waits for (reaps) the pid. It has exec'd when this returns.
Result<pid_t> spawn(const SpawnOptions& options);

// Starts a daemon: a grandchild in its own session that init reaps. Returns its pid.
Result<pid_t> spawn_detached(const SpawnOptions& options);

// From our own environment, what libpq reads (see without_libpq) goes: for who becomes a program by exec(2). Not while
// other threads run.
void forget_libpq();

// The absolute path of a program: itself if it holds a slash and can be run, else from PATH; kNotFound.
Result<std::string> find_program(const std::string& name);

}  // namespace pgb::os
