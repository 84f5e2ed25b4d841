// The verbs that only look: logs, list, doctor.
#include "cluster/units.h"
#include "cluster/verbs.h"
#include "model/topology_json.h"
#include "os/bin_dir.h"
#include "os/file.h"
#include "runtime/docker_runtime.h"
#include "runtime/process_runtime.h"

namespace pgb::cluster {

using std::chrono::seconds;

Result<runtime::LogText> logs(Session& session, const std::string& name, const runtime::LogQuery& query) {
  auto log = session.runtime->logs(session.wanted.cluster_name, name, query, Deadline::after(seconds(10)));
  if (log.ok() || log.error().code != Code::kNotFound) return log;
  auto units = existing_units(session, Deadline::after(seconds(10)));
  if (!units.ok()) return std::move(units).error();
  std::string known;
  for (const auto& [unit, info] : *units) known += (known.empty() ? "" : ", ") + unit;
  return Error(Code::kNoNode, "there is no node or balancer " + name).with("known", known.empty() ? "none" : known);
}

namespace {

// Both runtimes, as far as they can be had; a missing one has no clusters.
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

}  // namespace

Result<std::vector<Listed>> list(const OpenOptions& options) {
  std::vector<Listed> found;
  for (const auto& runtime : all_runtimes(options)) {
    auto names = runtime->clusters(Deadline::after(seconds(5)));
    if (!names.ok()) return std::move(names).error();
    for (const std::string& name : *names) {
      auto units = runtime->list(name, Deadline::after(seconds(5)));
      if (!units.ok()) return std::move(units).error();
      Listed one{name, std::string(model::to_string(runtime->kind())), units->size(), 0};
      for (const runtime::UnitInfo& unit : *units) one.running += unit.state == runtime::UnitState::kRunning ? 1 : 0;
      found.push_back(one);
    }
  }
  return found;
}

std::vector<Check> doctor(const OpenOptions& options) {
  std::vector<Check> checks;
  const auto add = [&](bool good, Check::Result bad, std::string what, std::string text) {
    checks.push_back({good ? Check::Result::kOk : bad, std::move(what), std::move(text)});
  };
  const std::string state = default_state_dir();
  auto bin = os::find_bin_dir("");
  bool docker = false;
  std::string engine = "no container engine answers";
  for (const auto& runtime : all_runtimes(options)) {
    if (runtime->kind() != model::RuntimeKind::kDocker) continue;
    docker = true;
    engine = runtime->describe();
  }
  add(docker, Check::Result::kWarning, "engine", engine);
  add(bin.ok(), docker ? Check::Result::kWarning : Check::Result::kFailed, "postgres",
      bin.ok() ? *bin : bin.error().message + (docker ? " (needed for local processes only)" : ""));
  for (const char* program : {"pgbalancer_agent", "pgbalancer"}) {
    const std::string path = os::self_exe_dir() + "/" + program;
    add(os::exists(path), Check::Result::kFailed, program, path);
  }
  auto space = os::free_bytes(state);
  add(space.ok() && *space > (2ull << 30), Check::Result::kWarning, "disk",
      space.ok() ? std::to_string(*space >> 20) + " MB free for " + state : space.error().message);
  auto file = model::load_cluster(options.file);
  if (os::exists(options.file)) {
    add(file.ok(), Check::Result::kFailed, "file", file.ok() ? options.file + " is right" : file.error().message);
  }
  return checks;
}

}  // namespace pgb::cluster
