#include "runtime/process_preflight.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "os/bin_dir.h"
#include "os/file.h"
#include "runtime/ports.h"
#include "runtime/process_unit.h"

namespace pgb::runtime {
namespace {

void add(std::vector<Obstacle>& errors, Status status) {
  if (!status.ok()) errors.push_back(std::move(status).error());
}

const UnitInfo* find(const std::vector<UnitInfo>& units, const std::string& name) {
  auto it = std::find_if(units.begin(), units.end(), [&](const UnitInfo& unit) { return unit.name == name; });
  return it == units.end() ? nullptr : &*it;
}

constexpr std::chrono::milliseconds kEnding{3000};  // for which one that was killed may hold its port
constexpr int kTick = 20;                           // ms between two looks

bool has_port(const UnitInfo* unit, uint16_t port) {
  if (unit == nullptr) return false;
  return std::any_of(unit->ports.begin(), unit->ports.end(), [&](const auto& pair) { return pair.second == port; });
}

void check_ports(std::vector<Obstacle>& errors, const UnitSpec& unit, const UnitInfo* existing, Deadline ending) {
  for (auto [inside, outside] : unit.ports) {
    const bool is_its_own = has_port(existing, outside);
    if (outside == 0 || (is_its_own && existing->state == UnitState::kRunning)) continue;
    const std::string address = unit.bind_address.empty() ? "127.0.0.1" : unit.bind_address;
    Status status = check_port_free(address, outside);
    // A server whose agent was killed is about to end, too.
    for (; !status.ok() && is_its_own && !ending.expired(); status = check_port_free(address, outside)) {
      ::poll(nullptr, 0, kTick);
    }
    if (!status.ok()) errors.push_back(Obstacle::taken_port(unit.name, outside, std::move(status).error()));
  }
}

// Another user must be able to go through every directory on the way.
Status check_reach(const std::string& path, const os::User& user) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    std::string dir = path.substr(0, slash);
    struct stat info {};
    if (::stat(dir.c_str(), &info) != 0) return {};  // the rest will be made by us
    mode_t need = info.st_uid == user.uid ? S_IXUSR : info.st_gid == user.gid ? S_IXGRP : S_IXOTH;
    if ((info.st_mode & need) == 0) {
      return Error(Code::kIo,
                   "state directory " + path + " is out of reach for user " + user.name + ", as whom the programs run")
          .with("because", "directory " + dir + " lets only its owner in")
          .with("try", "chmod o+x " + dir + ", or use a directory like /var/lib/pgbalancer");
    }
    if (slash == std::string::npos) return {};
  }
}

Status check_binary(const std::string& path) {
  if (::access(path.c_str(), X_OK) != 0) {
    return os::errno_error("run", path, errno).with("try", "install the programs of pgbalancer into one directory");
  }
  return {};
}

Status check_disk(const ProcessOptions& options, size_t new_nodes) {
  if (new_nodes == 0) return {};
  auto free = os::free_bytes(options.state_dir);
  if (!free.ok()) return std::move(free).error();
  uint64_t need = kBytesPerNode * new_nodes;
  if (*free >= need) return {};
  return Error(Code::kDiskFull, "not enough room for " + std::to_string(new_nodes) + " servers in " +
                                    options.state_dir + ": " + std::to_string(*free >> 20) + " MB free, " +
                                    std::to_string(need >> 20) + " MB needed")
      .with("try", "free some space, or use a state directory on another disk");
}

}  // namespace

std::vector<Obstacle> process_obstacles(const ProcessOptions& options, const std::optional<os::User>& run_as,
                                        const model::Cluster& cluster, const std::vector<UnitSpec>& units,
                                        const std::vector<UnitInfo>& existing) {
  std::vector<Obstacle> errors;
  const Deadline ending = Deadline::after(kEnding);
  size_t new_nodes = 0;
  bool nodes = false, balancers = false;
  for (const UnitSpec& unit : units) {
    bool is_node = unit.kind == UnitSpec::Kind::kNode;
    nodes = nodes || is_node;
    balancers = balancers || !is_node;
    const UnitInfo* info = find(existing, unit.name);
    if (is_node && info == nullptr) ++new_nodes;
    check_ports(errors, unit, info, ending);
    auto dir = UnitDir::at(options.state_dir, unit.cluster, unit.name);
    add(errors, dir.ok() ? dir->check_ours() : Status(std::move(dir).error()));
  }
  if (nodes) {
    const std::string& wanted = cluster.postgres.bin_dir.empty() ? options.bin_dir : cluster.postgres.bin_dir;
    auto bin_dir = os::find_bin_dir(wanted);
    if (!bin_dir.ok()) errors.push_back(std::move(bin_dir).error());
    add(errors, check_binary(options.agent_binary));
  }
  if (balancers) add(errors, check_binary(options.balancer_binary));
  if (run_as) add(errors, check_reach(options.state_dir, *run_as));
  add(errors, check_disk(options, new_nodes));
  return errors;
}

}  // namespace pgb::runtime
