#include "cluster/all_runtimes.h"

#include "os/file.h"
#include "runtime/docker_runtime.h"
#include "runtime/process_runtime.h"

namespace pgb::cluster {

std::vector<std::unique_ptr<runtime::Runtime>> all_runtimes(const OpenOptions& options) {
  std::vector<std::unique_ptr<runtime::Runtime>> runtimes;
  const std::string programs = os::self_exe_dir();
  runtime::ProcessOptions process;
  process.state_dir = default_state_dir();
  process.agent_binary = programs + "/pgbalancer_agent";
  process.balancer_binary = programs + "/pgbalancer";
  process.trace = options.trace;
  if (auto made = runtime::make_process_runtime(std::move(process)); made.ok()) runtimes.push_back(std::move(*made));
  runtime::DockerOptions docker;
  docker.agent_binary_path = programs + "/pgbalancer_agent";
  docker.balancer_binary_path = programs + "/pgbalancer";
  docker.state_dir = default_state_dir();
  docker.trace = options.trace;
  if (auto made = runtime::make_docker_runtime(std::move(docker)); made.ok()) runtimes.push_back(std::move(*made));
  return runtimes;
}

}  // namespace pgb::cluster
