#include "runtime/docker_preflight.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>

#include "base/strings.h"
#include "os/file.h"
#include "runtime/docker_balancer_image.h"
#include "runtime/docker_spec.h"
#include "runtime/ports.h"

namespace pgb::runtime {
namespace {

constexpr std::chrono::seconds kSettle{5};

std::string short_id(const std::string& id) { return id.substr(0, 12); }

class Look {
 public:
  Look(const DockerPreflight& preflight, const model::Cluster& cluster, const std::vector<UnitSpec>& units,
       Deadline deadline)
      : preflight_(preflight), client_(preflight.client), cluster_(cluster), units_(units), deadline_(deadline) {}

  std::vector<Obstacle> run() {
    if (!ask_engine()) return std::move(errors_);
    for (const UnitSpec& unit : units_) {
      check_name(unit);
      for (auto [inside, outside] : unit.ports) check_port(unit, outside);
    }
    check_network();
    check_programs();
    if (!preflight_.may_pull) check_images();
    check_disk();
    return std::move(errors_);
  }

 private:
  template <class T>
  bool take(Result<T> result, T& into) {
    if (result.ok()) {
      into = std::move(*result);
      return true;
    }
    errors_.push_back(std::move(result).error());
    return false;
  }

  bool ask_engine() {
    return take(client_.list_containers({}, deadline_), containers_) &&
           take(client_.list_networks({}, deadline_), networks_) && take(client_.list_volumes({}, deadline_), volumes_);
  }

  bool engine_is_here() const {
    const http::Endpoint& endpoint = client_.endpoint();
    return endpoint.kind == http::Endpoint::Kind::kUnix || endpoint.host == "localhost" || endpoint.host == "::1" ||
           endpoint.host.rfind("127.", 0) == 0;
  }

  const DockerContainer* find_unit(const UnitSpec& unit) const {
    auto it = std::find_if(containers_.begin(), containers_.end(),
                           [&](const DockerContainer& c) { return is_unit(c.labels, unit.cluster, unit.name); });
    return it == containers_.end() ? nullptr : &*it;
  }

  void name_taken(const UnitSpec& unit, const std::string& what, const std::string& held) {
    errors_.push_back(Error(Code::kNameInUse, unit.name + ": " + what + " exists and is not of this cluster")
                          .with("held by", held)
                          .with("try", "rename or remove it, or give another name in the cluster file"));
  }

  void check_name(const UnitSpec& unit) {
    std::string name = container_name_of(unit);
    for (const DockerContainer& container : containers_) {
      if (container.name != name || is_unit(container.labels, unit.cluster, unit.name)) continue;
      name_taken(unit, "a container " + name, "container " + short_id(container.id) + " (" + container.state + ")");
    }
    if (unit.kind != UnitSpec::Kind::kNode && unit.volume_at.empty()) return;
    std::string volume = volume_name_of(unit.cluster, unit.name);
    for (const DockerVolume& existing : volumes_) {
      if (existing.name == volume && !is_ours(existing.labels, unit.cluster)) {
        name_taken(unit, "a volume " + volume, "volume " + volume);
      }
    }
  }

  static bool same_address(const std::string& a, const std::string& b) {
    auto any = [](const std::string& text) { return text == "0.0.0.0" || text == "::" || text.empty(); };
    return a == b || any(a) || any(b);
  }

  void check_port(const UnitSpec& unit, uint16_t outside) {
    if (outside == 0) return;
    std::string address = bind_address_of(unit);
    const DockerContainer* own = find_unit(unit);
    // The kernel may know nothing of a port that an engine without a proxy process publishes.
    for (const DockerContainer& container : containers_) {
      for (const PublishedPort& port : container.ports) {
        if (port.outside != outside || !same_address(port.address, address)) continue;
        if (own == &container) return;
        errors_.push_back(Obstacle::taken_port(
            unit.name, outside,
            Error(Code::kPortInUse, "port " + address + ":" + std::to_string(outside) + " is in use")
                .with("held by", "container " + container.name)
                .with("try", "stop that container, or give another port in the cluster file")));
        return;
      }
    }
    if (!engine_is_here()) return;
    Status status = check_port_free(address, outside);
    if (!status.ok() && own != nullptr && own->state != "running") status = wait_for_own(unit, address, outside);
    if (!status.ok()) errors_.push_back(Obstacle::taken_port(unit.name, outside, std::move(status).error()));
  }

  // A manager that was killed may have left a start or a stop that the engine is still carrying out: the port is
  // held on behalf of a container that does not run yet, or no longer.
  Status wait_for_own(const UnitSpec& unit, const std::string& address, uint16_t port) {
    const Deadline settled = deadline_.sooner(kSettle);
    for (;;) {
      auto container = client_.inspect_container(container_name_of(unit), deadline_);
      if (!container.ok()) return std::move(container).error();
      if (container->has_value() && (*container)->state == "running") return {};
      Status status = check_port_free(address, port);
      if (status.ok() || settled.expired()) return status;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  void subnet_taken(const std::string& by) {
    errors_.push_back(Error(Code::kSubnetInUse, "the subnet " + cluster_.network.subnet + " of network " +
                                                    cluster_.network.name + " overlaps " + by)
                          .with("try", "give another network.subnet in the cluster file"));
  }

  void check_network() {
    auto wanted = model::parse_subnet(cluster_.network.subnet);
    for (const DockerNetwork& network : networks_) {
      if (is_ours(network.labels, cluster_.cluster_name)) return;  // it has its subnet already
    }
    bool overlaps_network = false;
    for (const DockerNetwork& network : networks_) {
      if (network.name == cluster_.network.name) {
        errors_.push_back(Error(Code::kNameInUse, "a network " + network.name + " exists and is not of this cluster")
                              .with("held by", "network " + short_id(network.id))
                              .with("try", "remove it, or give another network.name in the cluster file"));
      }
      for (const std::string& text : network.subnets) {
        auto subnet = model::parse_subnet(text);
        if (!wanted || !subnet || !overlap(*wanted, *subnet)) continue;
        overlaps_network = true;
        subnet_taken("network " + network.name + " (" + text + ")");
      }
    }
    if (wanted && !overlaps_network && engine_is_here()) check_routes(*wanted);
  }

  void check_routes(const model::Subnet& wanted) {
    auto text = os::read_file("/proc/net/route");
    if (!text.ok()) return;
    for (const HostRoute& route : parse_routes(*text)) {
      if (!overlap(wanted, route.subnet)) continue;
      return subnet_taken("a route of this machine: " + model::format_ipv4(route.subnet.base) + "/" +
                          std::to_string(route.subnet.prefix) + " on " + route.interface);
    }
  }

  void check_images() {
    std::set<std::string> images;
    for (const UnitSpec& unit : units_) {
      if (unit.kind == UnitSpec::Kind::kNode && find_unit(unit) == nullptr) images.insert(unit.image);
    }
    for (const std::string& image : images) {
      std::optional<DockerImage> present;
      if (!take(client_.inspect_image(image, deadline_), present) || present) continue;
      errors_.push_back(Error(Code::kImage, "image " + image + " is absent, and --pull never forbids to pull it")
                            .with("try", "docker load it, or init without --pull never"));
    }
  }

  void check_program(const std::string& path, UnitSpec::Kind kind) {
    auto of_kind = [&](const UnitSpec& unit) { return unit.kind == kind; };
    if (std::none_of(units_.begin(), units_.end(), of_kind)) return;
    auto program = os::read_file(path, 512u << 20);
    if (!program.ok()) {
      errors_.push_back(
          std::move(program).error().with("try", "install the programs of pgbalancer into one directory"));
    } else if (is_dynamic_elf(*program)) {
      errors_.push_back(Error(Code::kIo, path + " is linked dynamically and cannot be put into any image")
                            .with("try", "use the packaged programs, or build with -DPGB_STATIC=ON"));
    }
  }

  void check_programs() {
    check_program(preflight_.agent_program, UnitSpec::Kind::kNode);
    check_program(preflight_.balancer_program, UnitSpec::Kind::kBalancer);
  }

  void check_disk() {
    uint64_t new_nodes = 0;
    for (const UnitSpec& unit : units_) {
      if (unit.kind == UnitSpec::Kind::kNode && find_unit(unit) == nullptr) ++new_nodes;
    }
    if (new_nodes == 0 || !engine_is_here()) return;
    auto root = client_.root_dir(deadline_);
    if (!root.ok() || root->empty() || !os::exists(*root)) return;
    auto free = os::free_bytes(*root);
    uint64_t need = kBytesPerNode * new_nodes;
    if (!free.ok() || *free >= need) return;
    errors_.push_back(Error(Code::kDiskFull, "not enough room for " + std::to_string(new_nodes) + " servers in " +
                                                 *root + ": " + std::to_string(*free >> 20) + " MB free, " +
                                                 std::to_string(need >> 20) + " MB needed")
                          .with("try", "free some space: docker system df shows what uses it"));
  }

  const DockerPreflight& preflight_;
  const DockerClient& client_;
  const model::Cluster& cluster_;
  const std::vector<UnitSpec>& units_;
  Deadline deadline_;
  std::vector<DockerContainer> containers_;
  std::vector<DockerNetwork> networks_;
  std::vector<DockerVolume> volumes_;
  std::vector<Obstacle> errors_;
};

}  // namespace

bool overlap(const model::Subnet& a, const model::Subnet& b) {
  uint32_t base_a = model::network_of(a.base, a.prefix), base_b = model::network_of(b.base, b.prefix);
  int shorter = std::min(a.prefix, b.prefix);
  return model::network_of(base_a, shorter) == model::network_of(base_b, shorter);
}

std::vector<HostRoute> parse_routes(const std::string& text) {
  std::vector<HostRoute> routes;
  std::vector<std::string> lines = split(text, '\n');
  for (size_t i = 1; i < lines.size(); ++i) {  // the first one names the columns
    std::vector<std::string> columns = split(lines[i], '\t');
    if (columns.size() < 8) continue;
    // Hexadecimal, in network byte order as this machine reads it.
    uint32_t base = ntohl(static_cast<uint32_t>(std::strtoul(columns[1].c_str(), nullptr, 16)));
    uint32_t mask = ntohl(static_cast<uint32_t>(std::strtoul(columns[7].c_str(), nullptr, 16)));
    if (mask != 0) routes.push_back({std::string(trim(columns[0])), {base, __builtin_popcount(mask)}});
  }
  return routes;
}

std::vector<Obstacle> docker_obstacles(const DockerPreflight& preflight, const model::Cluster& cluster,
                                       const std::vector<UnitSpec>& units, Deadline deadline) {
  return Look(preflight, cluster, units, deadline).run();
}

}  // namespace pgb::runtime
