// What went wrong, for people and for programs. Every error a user can meet has a stable id
// (PGB-PORT-IN-USE) and an exit code; both stand in one table, error.cc.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgb {

enum class Code {
  kInternal,          // a bug or an unforeseen failure
  kIo,                // a file or socket call failed
  kTimeout,           // the time limit passed; work may go on
  kUsage,             // wrong command line
  kConfig,            // the cluster file is wrong
  kConfigUnreadable,  // the cluster file is absent or unreadable
  kNoEngine,          // no container engine answers
  kEngineDenied,      // the engine's socket refuses us
  kEngine,            // the engine refused a request
  kImage,             // image absent and not to be had
  kPortInUse,
  kSubnetInUse,
  kNameInUse,
  kDiskFull,
  kNoPostgres,  // no usable PostgreSQL programs
  kNoCluster,
  kNoNode,
  kNoBalancer,
  kProtected,        // "protect": true
  kNeedsYes,         // a dangerous verb without --yes
  kIsPrimary,        // remove-replica, reinit on the primary
  kNoSafeCandidate,  // whoever could lead may lack acknowledged commits
  kForeign,          // something of that name exists and is not ours
  kBusy,             // another command works on this cluster
  kInterrupted,      // SIGINT
  kTerminated,       // SIGTERM
  kProtocol,         // a peer broke the wire protocol
  kAuth,             // authentication failed
  kUnreachable,      // nobody answers at an address
  kSql,              // the server answered with an error
  kTool,             // a PostgreSQL program failed
  kNotReady,         // asked too early
  kNotFound,         // HTTP 404 and the like
  kInDoubt,          // a request was sent and no answer came: it may have been executed
  kCompacted,        // a watch asks for changes that the lease store no longer has
};

// One row of the error table.
struct ErrorInfo {
  Code code;
  std::string_view id;  // "PGB-PORT-IN-USE"
  int exit_code;        // 1..8, 130, 143
  std::string_view help;
};

// The row of a code. Never fails: every Code has a row (tested).
const ErrorInfo& error_info(Code code);

// All rows, in the order of the enum.
const std::vector<ErrorInfo>& error_table();

struct Error {
  Code code = Code::kInternal;
  std::string message;                                       // one line, says what happened to whom
  std::vector<std::pair<std::string, std::string>> details;  // {"held by", "pid 12"}, {"try", "…"}

  Error() = default;
  Error(Code c, std::string text) : code(c), message(std::move(text)) {}

  // Adds an indented line under the message; returns itself for chaining.
  Error& with(std::string label, std::string text) &;
  Error&& with(std::string label, std::string text) &&;

  // Puts "context: " in front of the message, on the way up.
  Error&& in(std::string_view context) &&;
};

}  // namespace pgb
