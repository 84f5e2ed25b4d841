#include "cli/context.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cli/report.h"

namespace pgb::cli {

static std::string environment(const char* name, std::string fallback) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? fallback : value;
}

std::string color_of(const CommandLine& line) { return line.has("--no-color") ? "never" : line.get("--color", "auto"); }

Context::Context(CommandLine words, const std::atomic<int>* interrupted)
    : line(std::move(words)),
      json(line.has("--json") || line.get("--output") == "json"),
      out(Terminal::of(STDOUT_FILENO, color_of(line))),
      err(Terminal::of(STDERR_FILENO, color_of(line))),
      interrupted_(interrupted) {}

std::string Context::file() const {
  return line.get("--config", environment("PGBALANCER_CONFIG", "pgbalancer_cluster.json"));
}

std::string Context::again(const std::string& verb) const {
  std::string command = "pgbalancer_cluster " + verb + " --config " + shell_word(file());
  return line.has("--runtime") ? command + " --runtime " + line.get("--runtime") : command;
}

Result<int> Context::watch_interval() const {
  const std::string every = line.get("--watch");
  const auto interval = parse_duration_ms(every.empty() ? "1" : every);
  if (interval && *interval >= 100 && *interval <= 3600 * 1000) return static_cast<int>(*interval);
  return Error(Code::kUsage, "--watch=" + every + " is no interval").with("try", "--watch=1 or --watch=500ms");
}

Result<cluster::OpenOptions> Context::open_options() {
  cluster::OpenOptions options;
  options.file = file();
  options.runtime = line.get("--runtime");
  options.interrupted = interrupted_;
  if (line.get("--pull") == "always") options.pull = runtime::Pull::kAlways;
  if (line.get("--pull") == "never") options.pull = runtime::Pull::kNever;
  if (line.has("--timeout")) {
    const auto limit = parse_duration_ms(line.get("--timeout"));
    if (!limit) return Error(Code::kUsage, "--timeout " + line.get("--timeout") + " is no time: 500ms, 30s, 2m");
    options.deadline = Deadline::after(std::chrono::milliseconds(*limit));
  }
  std::string mode = json ? "json" : line.get("--progress", environment("PGBALANCER_PROGRESS", "auto"));
  if (line.has("--quiet")) mode = "quiet";
  if (line.verbosity > 0) {  // traces and a redrawn list would overwrite each other
    if (mode == "auto" || mode == "tty") mode = "plain";
    options.trace = [](const std::string& what, std::chrono::milliseconds took) {
      std::fprintf(stderr, "  %s  %lld ms\n", visible(what).c_str(), static_cast<long long>(took.count()));
    };
  }
  progress_ = make_progress(mode, err);
  options.on_event = [this](const cluster::Event& event) {
    if (progress_) progress_->show(event);
  };
  return options;
}

Result<std::unique_ptr<cluster::Session>> Context::open() {
  auto options = open_options();
  if (!options.ok()) return std::move(options).error();
  auto session = cluster::Session::open(std::move(*options));
  if (session.ok() && !(*session)->runtime_note.empty() && !line.has("--quiet")) {
    std::fprintf(stderr, "%s\n", visible((*session)->runtime_note).c_str());
  }
  return session;
}

int Context::print_steps(const std::vector<std::string>& steps) {
  end_progress();
  if (json) {
    std::printf("%s\n", nlohmann::json{{"v", 1}, {"steps", steps}}.dump().c_str());
    return 0;
  }
  for (const std::string& step : steps) std::printf("%s\n", step.c_str());
  if (steps.empty()) std::printf("Nothing to do.\n");
  return 0;
}

int Context::fail(const Error& error) {
  end_progress();
  return report(error, json);
}

}  // namespace pgb::cli
