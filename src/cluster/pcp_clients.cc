#include "cluster/pcp_clients.h"

#include <cstdio>

#include "os/subprocess.h"

namespace pgb::cluster {

std::string pcp_version_here() {
  const std::string latest = "4.4";
  os::SpawnOptions options;
  options.argv = {"pcp_node_info", "--version"};
  const auto said = os::run(options, Deadline::after(std::chrono::seconds(2)));
  if (!said.ok() || said->exit_code != 0) return latest;
  const std::string text = said->out + said->err;
  const size_t digits = text.find_first_of("0123456789");
  int major = 0, minor = 0;
  if (digits == std::string::npos || std::sscanf(text.c_str() + digits, "%d.%d", &major, &minor) != 2) return latest;
  return major < 4 || (major == 4 && minor < 4) ? "4.3" : latest;
}

}  // namespace pgb::cluster
