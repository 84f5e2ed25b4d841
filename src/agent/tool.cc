#include "agent/tool.h"

#include <signal.h>

#include "os/subprocess.h"

namespace pgb::agent {

// The last lines of what a tool said: where PostgreSQL's tools put the reason.
static std::string last_lines(const std::string& text, size_t bytes = 600) {
  return text.size() <= bytes ? text : "…" + text.substr(text.size() - bytes);
}

std::mutex& tools() {
  static std::mutex mutex;
  return mutex;
}

Status run_tool(std::vector<std::string> argv, std::vector<std::string> env, Deadline deadline, std::string* out) {
  const std::lock_guard running(tools());
  const std::string program = argv[0].substr(argv[0].rfind('/') + 1);
  os::SpawnOptions options;
  options.argv = std::move(argv);
  options.env = std::move(env);
  options.env.emplace_back("LC_ALL=C");
  options.pdeathsig = SIGKILL;  // an unfinished copy is wiped anyway
  auto result = os::run(options, deadline);
  if (!result.ok()) return std::move(result).error().in(program);
  if (out != nullptr) *out = result->err + result->out;
  if (result->exit_code == 0) return {};
  const bool full = result->err.find("No space left on device") != std::string::npos;
  return Error(full ? Code::kDiskFull : Code::kTool, program + " failed: " + last_lines(result->err));
}

}  // namespace pgb::agent
