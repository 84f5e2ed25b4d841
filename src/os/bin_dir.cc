#include "os/bin_dir.h"

#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "base/strings.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace pgb::os {
namespace {

// The first needed program that the directory lacks; empty if it has all.
std::string missing_program(const std::string& dir) {
  for (const char* program : {"postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata"}) {
    if (::access((dir + "/" + program).c_str(), X_OK) != 0) return program;
  }
  return "";
}

// "/usr/lib/postgresql/17/bin" and "/usr/pgsql-17/bin", the newest version that is whole.
std::string newest_packaged() {
  struct Layout {
    const char* dir;
    std::string_view prefix;
  };
  std::string best;
  uint64_t best_version = 0;
  for (const Layout& layout : {Layout{"/usr/lib/postgresql", ""}, Layout{"/usr", "pgsql-"}}) {
    auto names = os::list_dir(layout.dir);
    if (!names.ok()) continue;
    for (const std::string& name : *names) {
      if (name.compare(0, layout.prefix.size(), layout.prefix) != 0) continue;
      auto version = parse_u64(std::string_view(name).substr(layout.prefix.size()));
      std::string dir = std::string(layout.dir) + "/" + name + "/bin";
      if (!version || *version <= best_version || !missing_program(dir).empty()) continue;
      best = dir;
      best_version = *version;
    }
  }
  return best;
}

std::string told_by_pg_config() {
  os::SpawnOptions options;
  options.argv = {"pg_config", "--bindir"};
  auto result = os::run(options, Deadline::after(std::chrono::seconds(5)));
  if (!result.ok() || result->exit_code != 0) return "";
  std::string dir(trim(result->out));
  return missing_program(dir).empty() ? dir : "";
}

std::string in_path() {
  const char* path = std::getenv("PATH");
  for (const std::string& dir : split(path != nullptr ? path : "", ':')) {
    if (!dir.empty() && missing_program(dir).empty()) return dir;
  }
  return "";
}

}  // namespace

Result<std::string> find_bin_dir(const std::string& wanted) {
  if (!wanted.empty()) {
    std::string missing = missing_program(wanted);
    if (missing.empty()) return wanted;
    return Error(Code::kNoPostgres, "postgres.bin_dir " + wanted + " has no program " + missing)
        .with("try", "correct postgres.bin_dir, or leave it out to use the newest PostgreSQL found");
  }
  for (auto* look : {newest_packaged, told_by_pg_config, in_path}) {
    std::string dir = look();
    if (!dir.empty()) return dir;
  }
  return Error(Code::kNoPostgres, "found no PostgreSQL server programs on this machine")
      .with("looked at", "/usr/lib/postgresql/*/bin, /usr/pgsql-*/bin, pg_config, PATH")
      .with("try", "apt-get install postgresql, or set postgres.bin_dir in the cluster file");
}

}  // namespace pgb::os
