#include "runtime/process_runtime.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "os/file.h"
#include "os/pidfile.h"
#include "os/process.h"
#include "os/subprocess.h"
#include "os/users.h"
#include "runtime/process_end.h"
#include "runtime/process_log.h"
#include "runtime/process_preflight.h"
#include "runtime/process_unit.h"

namespace pgb::runtime {
namespace {

constexpr const char* kMark = ".pgbalancer";  // in <cluster>/units: made by us
constexpr off_t kMaxLog = 32 << 20;           // a log beyond this becomes the old one at the next start
constexpr const char* kOldLog = "log.1";

class ProcessRuntime final : public Runtime {
 public:
  ProcessRuntime(ProcessOptions options, std::optional<os::User> run_as)
      : options_(std::move(options)), run_as_(std::move(run_as)) {}

  model::RuntimeKind kind() const override { return model::RuntimeKind::kProcess; }
  std::string describe() const override { return "local processes (" + options_.state_dir + ")"; }

  std::vector<Obstacle> preflight(const model::Cluster& cluster, const std::vector<UnitSpec>& units,
                                  Deadline deadline) override;
  Status prepare(const model::Cluster& cluster, const std::vector<UnitSpec>& units,
                 const std::function<void(const std::string&)>& progress, Deadline deadline) override;
  Result<std::vector<std::string>> missing_shared(const model::Cluster& cluster, const std::vector<UnitSpec>& units,
                                                  Deadline deadline) override;
  Status ensure(const UnitSpec& unit, Deadline deadline) override;
  Status stop(const std::string& cluster, const std::string& name, Deadline deadline) override;
  Status start(const std::string& cluster, const std::string& name, Deadline deadline) override;
  Status kill(const std::string& cluster, const std::string& name, Deadline deadline) override;
  Status remove(const std::string& cluster, const std::string& name, bool keep_data, Deadline deadline) override;
  Result<std::vector<UnitInfo>> list(const std::string& cluster, Deadline deadline) override;
  Result<std::vector<std::string>> clusters(Deadline deadline) override;
  Result<std::vector<std::string>> remove_shared(const std::string& cluster, bool keep_data,
                                                 Deadline deadline) override;
  Result<LogText> logs(const std::string& cluster, const std::string& name, const LogQuery& query,
                       Deadline deadline) override;

 private:
  Result<UnitDir> dir_of(const std::string& cluster, const std::string& name) const {
    return UnitDir::at(options_.state_dir, cluster, name);
  }
  std::string units_dir(const std::string& cluster) const { return options_.state_dir + "/" + cluster + "/units"; }
  std::vector<std::string> argv_of(const UnitDir& dir, UnitSpec::Kind unit_kind) const;
  Status make_shared(const std::string& cluster) const;
  Status launch(const UnitDir& dir, UnitSpec::Kind unit_kind);
  Status end(const UnitDir& dir, UnitSpec::Kind unit_kind, Deadline deadline);
  void rotate_log(const UnitDir& dir) const;
  void trace(const std::string& what, Deadline::Clock::time_point since) const;

  ProcessOptions options_;
  std::optional<os::User> run_as_;
};

void ProcessRuntime::trace(const std::string& what, Deadline::Clock::time_point since) const {
  if (!options_.trace) return;
  options_.trace(what, std::chrono::duration_cast<std::chrono::milliseconds>(Deadline::Clock::now() - since));
}

std::vector<std::string> ProcessRuntime::argv_of(const UnitDir& dir, UnitSpec::Kind unit_kind) const {
  if (unit_kind == UnitSpec::Kind::kNode) return {options_.agent_binary, "--config", dir.file("agent.json")};
  return {options_.balancer_binary, "--config", dir.file("balancer.json")};
}

std::vector<Obstacle> ProcessRuntime::preflight(const model::Cluster& cluster, const std::vector<UnitSpec>& units,
                                                Deadline deadline) {
  auto existing = list(cluster.cluster_name, deadline);
  if (!existing.ok()) return {std::move(existing).error()};
  return process_obstacles(options_, run_as_, cluster, units, *existing);
}

Status ProcessRuntime::make_shared(const std::string& cluster) const {
  if (!is_plain_name(cluster)) return Error(Code::kConfig, "'" + cluster + "' cannot be the name of a directory");
  // Another user's programs must get through these; what they hold is closed to others.
  PGB_TRY(os::make_dirs(units_dir(cluster), run_as_ ? 0755 : 0700));
  std::string mark = units_dir(cluster) + "/" + kMark;
  return os::exists(mark) ? Status() : os::write_file_atomic(mark, "made by pgbalancer\n", 0644);
}

Status ProcessRuntime::prepare(const model::Cluster& cluster, const std::vector<UnitSpec>&,
                               const std::function<void(const std::string&)>&, Deadline) {
  return make_shared(cluster.cluster_name);
}

Result<std::vector<std::string>> ProcessRuntime::missing_shared(const model::Cluster& cluster,
                                                                const std::vector<UnitSpec>&, Deadline) {
  const std::string dir = units_dir(cluster.cluster_name);
  if (os::exists(dir + "/" + kMark)) return std::vector<std::string>();
  return std::vector<std::string>{"make directory " + dir};
}

void ProcessRuntime::rotate_log(const UnitDir& dir) const {
  struct stat info {};
  if (::lstat(dir.log_file().c_str(), &info) != 0 || info.st_size < kMaxLog) return;
  // A failure only means a longer log.
  [[maybe_unused]] int n = std::rename(dir.log_file().c_str(), dir.file(kOldLog).c_str());
}

Status ProcessRuntime::launch(const UnitDir& dir, UnitSpec::Kind unit_kind) {
  auto since = Deadline::Clock::now();
  rotate_log(dir);
  os::SpawnOptions spawn;
  spawn.argv = argv_of(dir, unit_kind);
  spawn.cwd = dir.path();
  spawn.without_libpq = true;  // the user's own: a PGPASSWORD would be used before what the cluster has
  spawn.stdout_file = spawn.stderr_file = dir.log_file();
  if (run_as_) {
    spawn.uid = run_as_->uid;
    spawn.gid = run_as_->gid;
    spawn.env = {"HOME=" + dir.path(), "USER=" + run_as_->name, "LOGNAME=" + run_as_->name};
  }
  auto pid = os::spawn_detached(spawn);
  if (!pid.ok()) return std::move(pid).error().in(dir.name());
  Status written = os::write_pidfile(dir.pid_file(), *pid);
  trace("start " + spawn.argv[0] + " --config " + spawn.argv[2] + " (pid " + std::to_string(*pid) + ")", since);
  if (written.ok() || written.error().code != Code::kNotFound) return written;
  Error error(Code::kTool, spawn.argv[0] + " of " + dir.name() + " ended as soon as it was started");
  auto last = last_lines(dir.log_file(), 1);
  if (last.ok() && !last->text.empty()) error.with("its last words", last->text);
  return std::move(error).with("look at", dir.log_file());
}

Status ProcessRuntime::ensure(const UnitSpec& unit, Deadline) {
  auto dir = dir_of(unit.cluster, unit.name);
  if (!dir.ok()) return std::move(dir).error();
  PGB_TRY(make_shared(unit.cluster));
  PGB_TRY(dir->create(unit, run_as_));
  PGB_TRY(dir->write_files(unit.files, run_as_));
  if (find_program_of(*dir, argv_of(*dir, unit.kind))) return {};
  // It starts with what the spec says now; a running one keeps the record of what it was started with.
  if (dir->record()->spec_hash != unit.spec_hash) PGB_TRY(dir->write_record(unit));
  return launch(*dir, unit.kind);
}

Status ProcessRuntime::start(const std::string& cluster, const std::string& name, Deadline) {
  auto dir = dir_of(cluster, name);
  if (!dir.ok()) return std::move(dir).error();
  auto record = dir->record();
  if (!record) return Error(Code::kNotFound, "there is no unit '" + name + "' in cluster '" + cluster + "'");
  if (find_program_of(*dir, argv_of(*dir, record->kind))) return {};
  return launch(*dir, record->kind);
}

Status ProcessRuntime::end(const UnitDir& dir, UnitSpec::Kind unit_kind, Deadline deadline) {
  auto since = Deadline::Clock::now();
  auto pid = find_program_of(dir, argv_of(dir, unit_kind));
  PGB_TRY(end_unit(dir, deadline));
  if (pid) trace("stop " + dir.name() + " (pid " + std::to_string(*pid) + ")", since);
  return {};
}

Status ProcessRuntime::kill(const std::string& cluster, const std::string& name, Deadline) {
  auto dir = dir_of(cluster, name);
  if (!dir.ok()) return std::move(dir).error();
  auto record = dir->record();
  if (!record) return {};
  auto since = Deadline::Clock::now();
  auto pid = find_program_of(*dir, argv_of(*dir, record->kind));
  PGB_TRY(kill_unit(*dir));
  if (pid) trace("kill " + name + " (pid " + std::to_string(*pid) + ")", since);
  return {};
}

Status ProcessRuntime::stop(const std::string& cluster, const std::string& name, Deadline deadline) {
  auto dir = dir_of(cluster, name);
  if (!dir.ok()) return std::move(dir).error();
  auto record = dir->record();
  if (!record) return {};
  return end(*dir, record->kind, deadline);
}

Status ProcessRuntime::remove(const std::string& cluster, const std::string& name, bool keep_data, Deadline deadline) {
  auto dir = dir_of(cluster, name);
  if (!dir.ok()) return std::move(dir).error();
  PGB_TRY(dir->check_ours());
  if (auto record = dir->record()) PGB_TRY(end(*dir, record->kind, deadline));
  auto since = Deadline::Clock::now();
  PGB_TRY(dir->remove(keep_data));
  trace("remove " + dir->path() + (keep_data ? " but its data" : ""), since);
  return {};
}

Result<std::vector<UnitInfo>> ProcessRuntime::list(const std::string& cluster, Deadline) {
  std::vector<UnitInfo> units;
  auto names = os::list_dir(units_dir(cluster));
  if (!names.ok() && names.error().code == Code::kNotFound) return units;
  if (!names.ok()) return std::move(names).error();
  for (const std::string& name : *names) {
    auto dir = dir_of(cluster, name);
    if (!dir.ok()) continue;
    auto record = dir->record();
    if (!record) continue;
    UnitInfo info;
    info.name = name;
    info.group = record->group;
    info.kind = record->kind;
    info.spec_hash = record->spec_hash;
    info.ports = record->ports;
    auto pid = look_for_program(*dir, argv_of(*dir, record->kind));
    bool ran = os::exists(dir->log_file());
    info.state = pid ? UnitState::kRunning : ran ? UnitState::kStopped : UnitState::kCreated;
    if (pid) info.id = std::to_string(*pid);
    units.push_back(std::move(info));
  }
  return units;
}

Result<std::vector<std::string>> ProcessRuntime::clusters(Deadline) {
  std::vector<std::string> found;
  auto names = os::list_dir(options_.state_dir);
  if (!names.ok() && names.error().code == Code::kNotFound) return found;
  if (!names.ok()) return std::move(names).error();
  for (const std::string& name : *names) {
    if (os::exists(units_dir(name) + "/" + kMark)) found.push_back(name);
  }
  return found;
}

Result<std::vector<std::string>> ProcessRuntime::remove_shared(const std::string& cluster, bool keep_data, Deadline) {
  if (!is_plain_name(cluster)) return Error(Code::kConfig, "'" + cluster + "' cannot be the name of a directory");
  std::vector<std::string> left;
  std::string units = units_dir(cluster);
  auto names = os::list_dir(units);
  if (!names.ok() && names.error().code == Code::kNotFound) return left;
  if (!names.ok()) return std::move(names).error();
  bool kept = false;
  for (const std::string& name : *names) {
    if (name == kMark) continue;
    auto dir = dir_of(cluster, name);
    bool is_kept = dir.ok() && !dir->record() && dir->kept();
    if (is_kept && !keep_data) PGB_TRY(dir->remove(false));
    kept = kept || (is_kept && keep_data);
    if (dir.ok() && dir->unfinished()) PGB_TRY(os::remove_tree(dir->path()));
    if (is_kept || !os::exists(units + "/" + name)) continue;
    auto pid = os::live_pid(units + "/" + name + "/pid");
    left.push_back(units + "/" + name + (pid ? " (running, pid " + std::to_string(*pid) + ")" : ""));
  }
  if (!left.empty() || kept) return left;
  PGB_TRY(os::remove_tree(units));
  // The caller's own files may be beside: then the directory stays, and it is theirs.
  std::string top = options_.state_dir + "/" + cluster;
  if (::rmdir(top.c_str()) != 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT) {
    left.push_back(os::errno_error("remove", top, errno).message);
  }
  return left;
}

Result<LogText> ProcessRuntime::logs(const std::string& cluster, const std::string& name, const LogQuery& query,
                                     Deadline) {
  auto dir = dir_of(cluster, name);
  if (!dir.ok()) return std::move(dir).error();
  if (!dir->record()) return Error(Code::kNotFound, "there is no unit '" + name + "' in cluster '" + cluster + "'");
  return query.after.empty() ? last_lines(dir->log_file(), query.lines)
                             : lines_after(dir->log_file(), dir->file(kOldLog), query.after);
}

Result<std::optional<os::User>> user_to_run_as() {
  if (::geteuid() != 0) return std::optional<os::User>();
  for (const char* name : {"postgres", "nobody"}) {
    auto user = os::find_user(name);
    if (user.ok()) return std::optional<os::User>(std::move(*user));
  }
  return Error(Code::kNotFound, "PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")
      .with("try", "adduser --system --group postgres, or run this as another user");
}

}  // namespace

Result<std::unique_ptr<Runtime>> make_process_runtime(ProcessOptions options) {
  for (const std::string* path : {&options.state_dir, &options.agent_binary, &options.balancer_binary}) {
    if (path->empty() || path->front() != '/') return Error(Code::kConfig, "'" + *path + "' is not an absolute path");
  }
  auto run_as = user_to_run_as();
  if (!run_as.ok()) return std::move(run_as).error();
  return std::unique_ptr<Runtime>(std::make_unique<ProcessRuntime>(std::move(options), std::move(*run_as)));
}

std::string process_unit_dir(const std::string& state_dir, const std::string& cluster, const std::string& name) {
  return state_dir + "/" + cluster + "/units/" + name;
}

}  // namespace pgb::runtime
