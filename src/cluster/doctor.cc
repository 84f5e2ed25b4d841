// Can this machine run a cluster?
#include <sys/resource.h>
#include <sys/timex.h>

#include <algorithm>

#include "cluster/all_runtimes.h"
#include "cluster/units.h"
#include "cluster/verbs.h"
#include "model/topology_json.h"
#include "os/bin_dir.h"
#include "os/file.h"

namespace pgb::cluster {

using std::chrono::seconds;

namespace {

constexpr seconds kLook{5};
constexpr uint64_t kEnoughDisk = 2ull << 30;
constexpr rlim_t kEnoughFiles = 4096;  // a thousand clients, their servers, and room

class Doctor {
 public:
  explicit Doctor(const OpenOptions& options) : options_(options), runtimes_(all_runtimes(options)) {}

  std::vector<Check> run() {
    engine_and_programs();
    disk();
    open_files();
    clock();
    leftovers();
    file();
    return std::move(checks_);
  }

 private:
  using Result = Check::Result;

  void add(Result result, std::string what, std::string text) {
    checks_.push_back({result, std::move(what), std::move(text)});
  }
  void add(bool good, Result bad, std::string what, std::string text) {
    add(good ? Result::kOk : bad, std::move(what), std::move(text));
  }

  void engine_and_programs() {
    const auto docker = std::find_if(runtimes_.begin(), runtimes_.end(), [](const auto& runtime) {
      return runtime->kind() == model::RuntimeKind::kDocker;
    });
    const bool engine = docker != runtimes_.end();
    add(engine, Result::kWarning, "engine", engine ? (*docker)->describe() : "no container engine answers");
    const auto bin = os::find_bin_dir("");
    add(bin.ok(), engine ? Result::kWarning : Result::kFailed, "postgres",
        bin.ok() ? *bin : bin.error().message + (engine ? " (needed for local processes only)" : ""));
    for (const char* program : {"pgbalancer_agent", "pgbalancer"}) {
      const std::string path = os::self_exe_dir() + "/" + program;
      add(os::exists(path), Result::kFailed, program, path);
    }
  }

  void disk() {
    const std::string state = default_state_dir();
    const auto space = os::free_bytes(state);
    add(space.ok() && *space > kEnoughDisk, Result::kWarning, "disk",
        space.ok() ? std::to_string(*space >> 20) + " MB free for " + state : space.error().message);
  }

  void open_files() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    const bool endless = limit.rlim_max == RLIM_INFINITY;
    add(endless || limit.rlim_max >= kEnoughFiles, Result::kWarning, "open files",
        (endless ? "no limit" : "at most " + std::to_string(limit.rlim_max)) +
            " a process; a balancer needs two a client");
  }

  // adjtimex(2) with no modes only reads.
  void clock() {
    timex now{};
    const bool in_step = ::adjtimex(&now) != -1 && (now.status & STA_UNSYNC) == 0;
    add(in_step, Result::kWarning, "clock", in_step ? "is kept in step" : "nothing keeps it in step (NTP)");
  }

  // What is labelled as ours, but has no record here: another state directory's, or one that was lost.
  void leftovers() {
    std::string found;
    for (const auto& runtime : runtimes_) {
      const auto names = runtime->clusters(Deadline::after(kLook));
      if (!names.ok()) continue;
      for (const std::string& name : *names) {
        if (os::exists(default_state_dir() + "/" + name + "/cluster.json")) continue;
        found += (found.empty() ? "" : ", ") + name + " (" + std::string(model::to_string(runtime->kind())) + ")";
      }
    }
    add(found.empty(), Result::kWarning, "leftovers",
        found.empty() ? "none"
                      : found + ": parts of it stand without a record here; destroy, with its file, removes them");
  }

  // What would keep init of this very file from its work: ports, names, subnet, images.
  void file() {
    if (!os::exists(options_.file)) return;
    auto session = Session::open(options_);
    if (!session.ok()) return add(Result::kFailed, "file", session.error().message);
    add(Result::kOk, "file", options_.file + " is right");
    const auto existing = existing_units(**session, Deadline::after(kLook));
    if (!existing.ok()) return add(Result::kFailed, "check", existing.error().message);
    const auto recorded = (*session)->recorded();
    const model::Cluster& cluster = recorded.ok() ? *recorded : (*session)->wanted;
    const auto units = make_units(**session, cluster, Secrets{}, *existing);
    if (!units.ok()) return add(Result::kFailed, "check", units.error().message);
    const auto obstacles = (*session)->runtime->preflight(cluster, *units, Deadline::after(kLook));
    for (const runtime::Obstacle& one : obstacles) {
      add(Result::kFailed, "check", one.message + (one.held_by.empty() ? "" : ", held by " + one.held_by));
    }
    if (obstacles.empty()) add(Result::kOk, "check", "ports, names, network, image, disk: nothing stands in the way");
  }

  const OpenOptions& options_;
  std::vector<std::unique_ptr<runtime::Runtime>> runtimes_;
  std::vector<Check> checks_;
};

}  // namespace

std::vector<Check> doctor(const OpenOptions& options) { return Doctor(options).run(); }

}  // namespace pgb::cluster
