#include "agent/start_over.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace pgb::agent {

int start_over(const AgentConfig& config) {
  log::info("the configuration has changed: starting over");
  if (config.run_as_user.empty()) {
    const std::string file = config.config_dir + "/agent.json";
    ::execl("/proc/self/exe", "pgbalancer_agent", "--config", file.c_str(), static_cast<char*>(nullptr));
    log::error(std::string("cannot start over: ") + std::strerror(errno));
  }
  return 1;  // the files are root's to read
}

}  // namespace pgb::agent
