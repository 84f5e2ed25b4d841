#include "runtime/docker_spec.h"

#include <set>

#include "runtime/docker_json.h"
#include "runtime/tar.h"

namespace pgb::runtime {
namespace {

constexpr char kDataDir[] = "/var/lib/postgresql/data/pgdata";
constexpr char kDefaultMount[] = "/var/lib/postgresql/data";
constexpr char kAgent[] = "/pgbalancer/pgbalancer_agent";
constexpr char kAgentConfig[] = "/pgbalancer/agent.json";
constexpr char kBalancer[] = "/pgbalancer/pgbalancer";
constexpr char kBalancerConfig[] = "/pgbalancer/balancer.json";
constexpr int64_t kSecond = 1000000000;  // the Engine counts nanoseconds
constexpr int kStopTimeout = 30;
constexpr int64_t kShmSize = 256 << 20;  // parallel queries and more need more than the usual 64 MB

bool is_node(const UnitSpec& unit) { return unit.kind == UnitSpec::Kind::kNode; }

Json healthcheck() {
  return {{"Test", {"CMD", kAgent, "--config", kAgentConfig, "--health"}},
          {"Interval", 2 * kSecond},
          {"Timeout", 5 * kSecond},
          {"Retries", 3}};
}

Json host_config(const UnitSpec& unit, const std::string& network, const std::string& mount) {
  Json host = {{"NetworkMode", network},
               {"RestartPolicy", {{"Name", "unless-stopped"}}},
               {"Init", false},
               {"PortBindings", Json::object()}};
  for (auto [inside, outside] : unit.ports) {
    Json binding = {{"HostIp", bind_address_of(unit)}, {"HostPort", outside == 0 ? "" : std::to_string(outside)}};
    host["PortBindings"][std::to_string(inside) + "/tcp"] = Json::array({binding});
  }
  if (is_node(unit)) host["ShmSize"] = kShmSize;
  if (!mount.empty()) {
    Json volume = {{"Type", "volume"}, {"Source", volume_name_of(unit.cluster, unit.name)}, {"Target", mount}};
    host["Mounts"] = Json::array({volume});
  }
  return host;
}

Json endpoint_config(const UnitSpec& unit) {
  std::set<std::string> aliases = {unit.name, container_name_of(unit)};
  Json endpoint = {{"Aliases", aliases}};
  if (!unit.ip_address.empty()) endpoint["IPAMConfig"] = {{"IPv4Address", unit.ip_address}};
  return endpoint;
}

// Every directory on the way to a file, each once, parents first.
Status add_parents(TarWriter& tar, std::set<std::string>& made, const std::string& path) {
  for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    if (made.insert(path.substr(0, slash)).second) PGB_TRY(tar.add_dir(path.substr(0, slash), 0755));
  }
  return {};
}

}  // namespace

std::string container_name_of(const UnitSpec& unit) {
  return unit.container_name.empty() ? unit.cluster + "_" + unit.name : unit.container_name;
}

std::string volume_name_of(const std::string& cluster, const std::string& unit) {
  return cluster + "_" + unit + "_data";
}

std::string bind_address_of(const UnitSpec& unit) {
  return unit.bind_address.empty() ? "127.0.0.1" : unit.bind_address;
}

Labels unit_labels(const UnitSpec& unit) {
  return {{kLabelCluster, unit.cluster},
          {kLabelGroup, unit.group},
          {kLabelUnit, unit.name},
          {kLabelKind, is_node(unit) ? "node" : "balancer"},
          {kLabelSpec, unit.spec_hash}};
}

std::string label_is(const char* key, const std::string& value) { return std::string(key) + "=" + value; }

bool is_ours(const Labels& labels, const std::string& cluster) {
  auto it = labels.find(kLabelCluster);
  return it != labels.end() && it->second == cluster;
}

bool is_unit(const Labels& labels, const std::string& cluster, const std::string& unit) {
  auto it = labels.find(kLabelUnit);
  return is_ours(labels, cluster) && it != labels.end() && it->second == unit;
}

UnitInfo to_unit_info(const DockerContainer& container) {
  auto label = [&](const char* key) {
    auto it = container.labels.find(key);
    return it == container.labels.end() ? std::string() : it->second;
  };
  UnitInfo info;
  info.name = label(kLabelUnit);
  info.group = label(kLabelGroup);
  info.kind = label(kLabelKind) == "balancer" ? UnitSpec::Kind::kBalancer : UnitSpec::Kind::kNode;
  info.spec_hash = label(kLabelSpec);
  info.id = container.id;
  bool runs = container.state == "running" || container.state == "paused" || container.state == "restarting";
  info.state = runs ? UnitState::kRunning : container.state == "created" ? UnitState::kCreated : UnitState::kStopped;
  info.restarting = container.state == "restarting";
  for (const PublishedPort& port : container.ports) info.ports[port.inside] = port.outside;
  return info;
}

std::string data_mount(const std::vector<std::string>& declared) {
  const std::string data_dir = kDataDir;
  std::string best;
  for (const std::string& path : declared) {
    // A volume above /var/lib/postgresql would hold other things, too.
    bool at_or_under = path == "/var/lib/postgresql" || path.rfind("/var/lib/postgresql/", 0) == 0;
    bool holds = data_dir == path || data_dir.rfind(path + "/", 0) == 0;
    if (at_or_under && holds && path.size() > best.size()) best = path;
  }
  return best.empty() ? kDefaultMount : best;
}

std::string container_spec(const UnitSpec& unit, const std::string& image, const std::string& network,
                           const std::string& mount) {
  Json spec = {{"Image", image},
               {"Hostname", unit.name},
               {"User", "0:0"},  // root, also where there is no /etc/passwd; the programs give it up themselves
               {"WorkingDir", "/"},
               {"Labels", unit_labels(unit)},
               {"StopSignal", "SIGTERM"},
               {"StopTimeout", kStopTimeout},
               {"ExposedPorts", Json::object()}};
  for (auto [inside, outside] : unit.ports) spec["ExposedPorts"][std::to_string(inside) + "/tcp"] = Json::object();
  if (is_node(unit)) {
    spec["Entrypoint"] = {kAgent, "--config", kAgentConfig};
    spec["Healthcheck"] = healthcheck();
  } else {
    spec["Entrypoint"] = {kBalancer, "--config", kBalancerConfig};
  }
  spec["HostConfig"] = host_config(unit, network, mount);
  spec["NetworkingConfig"] = {{"EndpointsConfig", {{network, endpoint_config(unit)}}}};
  return print_json(spec);
}

std::string endpoint_spec(const UnitSpec& unit) { return print_json(endpoint_config(unit)); }

Result<std::string> unit_archive(const UnitSpec& unit, const std::string& agent_program) {
  TarWriter tar;
  std::set<std::string> made;
  const std::string dir = std::string(kUnitDir) + "/";
  PGB_TRY(add_parents(tar, made, dir));
  // A balancer gives up root and must still be able to read its file again.
  const unsigned owner = unit.kind == UnitSpec::Kind::kBalancer ? kBalancerUser : 0;
  if (!agent_program.empty()) PGB_TRY(tar.add_file(kAgent + 1, agent_program, 0755));
  for (const FileSpec& file : unit.files) {
    PGB_TRY(add_parents(tar, made, dir + file.name));
    PGB_TRY(tar.add_file(dir + file.name, file.content, file.secret ? 0600 : 0644, owner));
  }
  return tar.finish();
}

}  // namespace pgb::runtime
