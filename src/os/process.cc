#include "os/process.h"

#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/strings.h"
#include "os/file.h"
#include "os/users.h"

namespace pgb::os {
namespace {

std::string proc(pid_t pid, const char* what) { return "/proc/" + std::to_string(pid) + "/" + what; }

// The fields after "pid (comm)", so [0] is field 3, the state. The name may hold blanks and brackets.
std::vector<std::string> stat_fields(pid_t pid) {
  auto text = read_file(proc(pid, "stat"), 4096);
  if (!text.ok()) return {};
  size_t end = text->rfind(')');
  if (end == std::string::npos || end + 2 > text->size()) return {};
  return split(trim(std::string_view(*text).substr(end + 2)), ' ');
}

std::string read_link(const std::string& path) {
  char buffer[PATH_MAX];
  ssize_t n = ::readlink(path.c_str(), buffer, sizeof buffer);
  return n <= 0 ? "" : std::string(buffer, static_cast<size_t>(n));
}

struct Listener {
  std::string inode;
  uid_t uid = 0;
};

std::vector<std::string> words(std::string_view line) {
  std::vector<std::string> out;
  for (std::string& part : split(line, ' ')) {
    if (!part.empty()) out.push_back(std::move(part));
  }
  return out;
}

// A row: "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...".
std::optional<Listener> find_listener(const char* table, uint16_t port) {
  auto text = read_file(table);
  if (!text.ok()) return std::nullopt;
  for (const std::string& line : split(*text, '\n')) {
    std::vector<std::string> row = words(line);
    if (row.size() < 10 || row[3] != "0A") continue;  // 0A: TCP_LISTEN
    size_t colon = row[1].rfind(':');
    if (colon == std::string::npos || std::strtoul(row[1].c_str() + colon + 1, nullptr, 16) != port) continue;
    return Listener{row[9], static_cast<uid_t>(std::strtoul(row[7].c_str(), nullptr, 10))};
  }
  return std::nullopt;
}

bool holds_socket(pid_t pid, const std::string& link) {
  std::string dir = proc(pid, "fd");
  auto names = list_dir(dir);
  if (!names.ok()) return false;
  for (const std::string& name : *names) {
    if (read_link(dir + "/" + name) == link) return true;
  }
  return false;
}

}  // namespace

std::optional<uint64_t> process_start_time(pid_t pid) {
  std::vector<std::string> fields = stat_fields(pid);
  if (fields.size() < 20 || fields[0] == "Z" || fields[0] == "X") return std::nullopt;
  return parse_u64(fields[19]);
}

std::optional<pid_t> session_of(pid_t pid) {
  std::vector<std::string> fields = stat_fields(pid);
  if (fields.size() < 4) return std::nullopt;
  auto session = parse_u64(fields[3]);
  if (!session) return std::nullopt;
  return static_cast<pid_t>(*session);
}

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (pid_t pid : all_pids()) {
    const std::vector<std::string> fields = stat_fields(pid);  // [1] is the parent
    if (fields.size() > 1 && fields[0] != "Z" && fields[1] == std::to_string(parent)) children.push_back(pid);
  }
  return children;
}

char process_state(pid_t pid) {
  const std::vector<std::string> fields = stat_fields(pid);
  return fields.empty() || fields[0].empty() ? '\0' : fields[0][0];
}

bool is_ending(pid_t pid) {
  constexpr uint64_t kExiting = 4;  // PF_EXITING
  constexpr uint64_t kKill = 1u << (SIGKILL - 1);
  const std::vector<std::string> fields = stat_fields(pid);
  if (fields.size() < 7 || fields[0] == "Z" || fields[0] == "X") return false;
  if ((parse_u64(fields[6]).value_or(0) & kExiting) != 0) return true;
  auto status = read_file(proc(pid, "status"));
  if (!status.ok()) return false;
  for (const char* name : {"SigPnd:", "ShdPnd:"}) {
    const size_t at = status->find(name);
    if (at == std::string::npos) continue;
    if ((std::strtoull(status->c_str() + at + std::strlen(name), nullptr, 16) & kKill) != 0) return true;
  }
  return false;
}

std::vector<std::string> cmdline(pid_t pid) {
  auto text = read_file(proc(pid, "cmdline"));
  if (!text.ok() || text->empty()) return {};
  if (text->back() == '\0') text->pop_back();
  return split(*text, '\0');
}

std::optional<uint64_t> resident_bytes(pid_t pid) {
  std::vector<std::string> fields = stat_fields(pid);
  if (fields.size() < 22) return std::nullopt;
  auto pages = parse_u64(fields[21]);
  if (!pages) return std::nullopt;
  return *pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::string process_cwd(pid_t pid) { return read_link(proc(pid, "cwd")); }

std::string process_name(pid_t pid) {
  auto text = read_file(proc(pid, "comm"), 4096);
  return text.ok() ? std::string(trim(*text)) : "";
}

std::vector<pid_t> all_pids() {
  std::vector<pid_t> pids;
  auto names = list_dir("/proc");
  if (!names.ok()) return pids;
  for (const std::string& name : *names) {
    auto pid = parse_u64(name);
    if (pid && *pid > 0 && *pid <= INT_MAX) pids.push_back(static_cast<pid_t>(*pid));
  }
  return pids;
}

std::optional<PortHolder> find_port_holder(uint16_t port) {
  auto listener = find_listener("/proc/net/tcp", port);
  if (!listener) listener = find_listener("/proc/net/tcp6", port);
  if (!listener) return std::nullopt;
  PortHolder holder;
  auto user = find_uid(listener->uid);
  holder.user = user.ok() ? user->name : std::to_string(listener->uid);
  std::string link = "socket:[" + listener->inode + "]";
  for (pid_t pid : all_pids()) {
    if (!holds_socket(pid, link)) continue;
    holder.pid = pid;
    holder.program = process_name(pid);
    break;
  }
  return holder;
}

}  // namespace pgb::os
