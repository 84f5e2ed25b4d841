#include "base/error.h"

namespace pgb {

const std::vector<ErrorInfo>& error_table() {
  static const std::vector<ErrorInfo> table = {
      {Code::kInternal, "PGB-INTERNAL", 1, "an unforeseen failure; please report it"},
      {Code::kIo, "PGB-IO", 1, "a file or network call failed"},
      {Code::kTimeout, "PGB-TIMEOUT", 7, "the time limit passed; it is safe to run the command again"},
      {Code::kUsage, "PGB-USAGE", 2, "the command line is wrong"},
      {Code::kConfig, "PGB-CONFIG", 3, "the cluster file has mistakes"},
      {Code::kConfigUnreadable, "PGB-CONFIG-UNREADABLE", 3, "the cluster file cannot be read"},
      {Code::kNoEngine, "PGB-NO-ENGINE", 4, "no container engine answers"},
      {Code::kEngineDenied, "PGB-ENGINE-DENIED", 4, "the container engine's socket refuses this user"},
      {Code::kEngine, "PGB-ENGINE", 1, "the container engine refused a request"},
      {Code::kImage, "PGB-IMAGE", 4, "an image is absent and cannot be pulled"},
      {Code::kPortInUse, "PGB-PORT-IN-USE", 4, "a port is taken"},
      {Code::kSubnetInUse, "PGB-SUBNET-IN-USE", 4, "the network's subnet overlaps another one"},
      {Code::kNameInUse, "PGB-NAME-IN-USE", 4, "a container, network or volume name is taken"},
      {Code::kDiskFull, "PGB-DISK-FULL", 4, "the disk is full"},
      {Code::kNoPostgres, "PGB-NO-POSTGRES", 4, "no PostgreSQL server programs were found"},
      {Code::kNoCluster, "PGB-NO-CLUSTER", 5, "there is no such cluster"},
      {Code::kNoNode, "PGB-NO-NODE", 5, "there is no such node"},
      {Code::kNoBalancer, "PGB-NO-BALANCER", 5, "there is no such balancer"},
      {Code::kProtected, "PGB-PROTECTED", 6, "the cluster file says \"protect\": true"},
      {Code::kNeedsYes, "PGB-NEEDS-YES", 6, "a destructive command wants --yes"},
      {Code::kIsPrimary, "PGB-IS-PRIMARY", 6, "the primary cannot be removed or copied anew"},
      {Code::kNoSafeCandidate, "PGB-NO-SAFE-CANDIDATE", 6, "whoever could lead may lack acknowledged commits"},
      {Code::kForeign, "PGB-FOREIGN", 6, "it exists, but pgbalancer did not make it"},
      {Code::kBusy, "PGB-BUSY", 8, "another command is at work on this cluster"},
      {Code::kInterrupted, "PGB-INTERRUPTED", 130, "interrupted"},
      {Code::kTerminated, "PGB-TERMINATED", 143, "terminated"},
      {Code::kProtocol, "PGB-PROTOCOL", 1, "a peer broke the protocol"},
      {Code::kAuth, "PGB-AUTH", 1, "authentication failed"},
      {Code::kUnreachable, "PGB-UNREACHABLE", 1, "nobody answers at that address"},
      {Code::kSql, "PGB-SQL", 1, "the PostgreSQL server answered with an error"},
      {Code::kTool, "PGB-TOOL", 1, "a PostgreSQL program failed"},
      {Code::kNotReady, "PGB-NOT-READY", 1, "asked before it was ready"},
      {Code::kNotFound, "PGB-NOT-FOUND", 1, "there is no such thing"},
      {Code::kInDoubt, "PGB-IN-DOUBT", 7, "a request got no answer: whether it was executed is unknown"},
      {Code::kCompacted, "PGB-COMPACTED", 1, "the lease store no longer has the changes that were asked for"},
  };
  return table;
}

const ErrorInfo& error_info(Code code) { return error_table()[static_cast<size_t>(code)]; }

Error& Error::with(std::string label, std::string text) & {
  details.emplace_back(std::move(label), std::move(text));
  return *this;
}

Error&& Error::with(std::string label, std::string text) && {
  details.emplace_back(std::move(label), std::move(text));
  return std::move(*this);
}

Error&& Error::in(std::string_view context) && {
  message = std::string(context) + ": " + message;
  return std::move(*this);
}

}  // namespace pgb
