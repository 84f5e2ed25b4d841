#include "runtime/docker_runtime.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "os/file.h"
#include "runtime/docker_auth.h"
#include "runtime/docker_balancer_image.h"
#include "runtime/docker_client.h"
#include "runtime/docker_connect.h"
#include "runtime/docker_network.h"
#include "runtime/docker_preflight.h"
#include "runtime/docker_spec.h"

namespace pgb::runtime {
namespace {

constexpr size_t kProgramLimit = 512u << 20;
constexpr auto kStopGrace = std::chrono::seconds(10);    // for a unit whose data goes, too
constexpr auto kAnswerSlack = std::chrono::seconds(15);  // for the engine to kill and to answer

// The Engine waits for the end of the program, so the answer may come a little after the deadline.
Deadline later(Deadline deadline) {
  return deadline.is_never() ? deadline : Deadline::after(deadline.remaining() + kAnswerSlack);
}

int whole_seconds(Deadline deadline) {
  using std::chrono::seconds;
  return static_cast<int>(std::min(std::chrono::duration_cast<seconds>(deadline.remaining()), seconds(3600)).count());
}

class DockerRuntime : public Runtime {
 public:
  DockerRuntime(DockerClient client, DockerOptions options)
      : client_(std::move(client)), options_(std::move(options)) {}

  model::RuntimeKind kind() const override { return model::RuntimeKind::kDocker; }

  std::string describe() const override {
    const EngineInfo& engine = client_.engine();
    std::string name = engine.is_podman ? "podman (untested) " : "docker ";
    return name + engine.version + " (" + client_.endpoint().str() + ")";
  }

  std::vector<Obstacle> preflight(const model::Cluster& cluster, const std::vector<UnitSpec>& units,
                                  Deadline deadline) override {
    DockerPreflight look{client_, options_.agent_binary_path, options_.balancer_binary_path,
                         options_.pull != Pull::kNever};
    return docker_obstacles(look, cluster, units, deadline);
  }

  Status prepare(const model::Cluster& cluster, const std::vector<UnitSpec>& units,
                 const std::function<void(const std::string&)>& progress, Deadline deadline) override {
    PGB_TRY(prepare_images(units, progress, deadline));
    return make_network(client_, cluster, deadline);
  }

  Result<std::vector<std::string>> missing_shared(const model::Cluster& cluster, const std::vector<UnitSpec>& units,
                                                  Deadline deadline) override {
    std::vector<std::string> missing;
    std::set<std::string> images;
    for (const UnitSpec& unit : units) {
      if (unit.kind == UnitSpec::Kind::kNode) images.insert(unit.image);
    }
    for (const std::string& image : images) {
      auto present = client_.inspect_image(image, deadline);
      if (!present.ok()) return std::move(present).error();
      if (!present->has_value() || options_.pull == Pull::kAlways) missing.push_back("pull image " + image);
    }
    auto networks = client_.list_networks({label_is(kLabelCluster, cluster.cluster_name)}, deadline);
    if (!networks.ok()) return std::move(networks).error();
    if (networks->empty()) {
      missing.push_back("make network " + cluster.network.name + " (" + cluster.network.subnet + ")");
    }
    return missing;
  }

  Status ensure(const UnitSpec& unit, Deadline deadline) override {
    auto existing = find(unit.cluster, unit.name, deadline);
    if (!existing.ok()) return std::move(existing).error().in(unit.name);
    std::string id;
    bool runs = false;
    if (existing->has_value()) {
      UnitInfo info = to_unit_info(**existing);
      runs = info.state == UnitState::kRunning;
      id = info.id;
      if (!runs && info.spec_hash != unit.spec_hash) {
        PGB_TRY(named(client_.remove_container(id, deadline), unit.name));
        id.clear();
      }
    }
    if (id.empty()) {
      auto made = create(unit, deadline);
      if (!made.ok()) return std::move(made).error().in(unit.name);
      id = *made;
    } else {
      PGB_TRY(connect(unit, deadline));  // if it was cut off, and has been left so
    }
    PGB_TRY(named(put_files(unit, id, !runs, deadline), unit.name));
    if (runs) return {};
    return named(client_.start_container(id, deadline), unit.name);
  }

  Status stop(const std::string& cluster, const std::string& name, Deadline deadline) override {
    auto container = find(cluster, name, deadline);
    if (!container.ok()) return std::move(container).error().in(name);
    if (!container->has_value()) return {};
    return named(client_.stop_container((*container)->id, whole_seconds(deadline), later(deadline)), name);
  }

  Status start(const std::string& cluster, const std::string& name, Deadline deadline) override {
    auto container = find_present(cluster, name, deadline);
    if (!container.ok()) return std::move(container).error();
    return named(client_.start_container(container->id, deadline), name);
  }

  Status kill(const std::string& cluster, const std::string& name, Deadline deadline) override {
    auto container = find(cluster, name, deadline);
    if (!container.ok()) return std::move(container).error().in(name);
    if (!container->has_value() || (*container)->state != "running") return {};
    return named(client_.kill_container((*container)->id, "SIGKILL", deadline), name);
  }

  Status cut_off(const std::string& cluster, const std::string& name, Deadline deadline) override {
    auto container = find_present(cluster, name, deadline);
    if (!container.ok()) return std::move(container).error();
    return named(leave_own_network(client_, cluster, *container, deadline), name);
  }

  Status connect(const UnitSpec& unit, Deadline deadline) override {
    auto container = find_present(unit.cluster, unit.name, deadline);
    if (!container.ok()) return std::move(container).error();
    return named(join_own_network(client_, unit, *container, deadline), unit.name);
  }

  Status remove(const std::string& cluster, const std::string& name, bool keep_data, Deadline deadline) override {
    auto container = find(cluster, name, deadline);
    if (!container.ok()) return std::move(container).error().in(name);
    if (container->has_value()) {
      const std::string& id = (*container)->id;
      if (to_unit_info(**container).state == UnitState::kRunning) {
        Deadline patience = keep_data ? deadline : deadline.sooner(kStopGrace);
        PGB_TRY(named(client_.stop_container(id, whole_seconds(patience), later(deadline)), name));
      }
      PGB_TRY(named(client_.remove_container(id, later(deadline)), name));
    }
    if (keep_data) return {};
    auto volumes =
        client_.list_volumes({label_is(kLabelCluster, cluster), label_is(kLabelUnit, name)}, later(deadline));
    if (!volumes.ok()) return std::move(volumes).error().in(name);
    for (const DockerVolume& volume : *volumes) {
      PGB_TRY(named(client_.remove_volume(volume.name, later(deadline)), name));
    }
    return {};
  }

  Result<std::vector<UnitInfo>> list(const std::string& cluster, Deadline deadline) override {
    auto containers = client_.list_containers({label_is(kLabelCluster, cluster)}, deadline);
    if (!containers.ok()) return std::move(containers).error();
    const auto network = own_network(client_, cluster, deadline);  // without one nobody is cut off from it
    std::vector<UnitInfo> units;
    for (const DockerContainer& container : *containers) {
      UnitInfo info = to_unit_info(container);
      info.cut_off = info.state == UnitState::kRunning && network.ok() && !is_on(container, *network);
      if (!info.name.empty()) units.push_back(std::move(info));
    }
    std::sort(units.begin(), units.end(), [](const UnitInfo& a, const UnitInfo& b) { return a.name < b.name; });
    return units;
  }

  Result<std::vector<std::string>> clusters(Deadline deadline) override {
    auto containers = client_.list_containers({kLabelCluster}, deadline);
    if (!containers.ok()) return std::move(containers).error();
    auto networks = client_.list_networks({kLabelCluster}, deadline);
    if (!networks.ok()) return std::move(networks).error();
    auto volumes = client_.list_volumes({kLabelCluster}, deadline);
    if (!volumes.ok()) return std::move(volumes).error();
    std::set<std::string> names;
    auto note = [&](const Labels& labels) {
      if (auto it = labels.find(kLabelCluster); it != labels.end()) names.insert(it->second);
    };
    for (const auto& container : *containers) note(container.labels);
    for (const auto& network : *networks) note(network.labels);
    for (const auto& volume : *volumes) note(volume.labels);
    return std::vector<std::string>(names.begin(), names.end());
  }

  Result<std::vector<std::string>> remove_shared(const std::string& cluster, bool keep_data,
                                                 Deadline deadline) override {
    const std::vector<std::string> ours = {label_is(kLabelCluster, cluster)};
    auto containers = client_.list_containers(ours, deadline);
    if (!containers.ok()) return std::move(containers).error();
    // As long as a unit is left it needs its network and volume.
    if (containers->empty()) {
      auto networks = client_.list_networks(ours, deadline);
      if (!networks.ok()) return std::move(networks).error();
      for (const DockerNetwork& network : *networks) (void)client_.remove_network(network.id, deadline).ok();
      if (!keep_data) PGB_TRY(remove_volumes(ours, deadline));
      remove_unused_balancer_images(client_, deadline);
    }
    return what_is_left(ours, keep_data, deadline);
  }

  Result<LogText> logs(const std::string& cluster, const std::string& name, const LogQuery& query,
                       Deadline deadline) override {
    auto container = find_present(cluster, name, deadline);
    if (!container.ok()) return std::move(container).error();
    return client_.logs(container->id, query, deadline);
  }

 private:
  static Status named(Status status, const std::string& name) {
    if (status.ok()) return status;
    return std::move(status).error().in(name);
  }

  Result<std::optional<DockerContainer>> find(const std::string& cluster, const std::string& name, Deadline deadline) {
    auto found = client_.list_containers({label_is(kLabelCluster, cluster), label_is(kLabelUnit, name)}, deadline);
    if (!found.ok()) return std::move(found).error();
    if (found->empty()) return std::optional<DockerContainer>();
    return std::optional(std::move(found->front()));
  }

  Result<DockerContainer> find_present(const std::string& cluster, const std::string& name, Deadline deadline) {
    auto found = find(cluster, name, deadline);
    if (!found.ok()) return std::move(found).error().in(name);
    if (found->has_value()) return std::move(**found);
    return Error(Code::kNotFound, "there is no unit '" + name + "' in cluster '" + cluster + "'");
  }

  Status prepare_images(const std::vector<UnitSpec>& units, const std::function<void(const std::string&)>& progress,
                        Deadline deadline) {
    std::set<std::string> images;
    bool balancers = false;
    for (const UnitSpec& unit : units) {
      if (unit.kind == UnitSpec::Kind::kNode) images.insert(unit.image);
      balancers = balancers || unit.kind == UnitSpec::Kind::kBalancer;
    }
    for (const std::string& image : images) PGB_TRY(provide_image(image, progress, deadline));
    if (!balancers) return {};
    auto image = balancer_image(deadline);
    return image.ok() ? Status() : Status(std::move(image).error());
  }

  Status provide_image(const std::string& image, const std::function<void(const std::string&)>& progress,
                       Deadline deadline) {
    auto present = client_.inspect_image(image, deadline);
    if (!present.ok()) return std::move(present).error();
    if (present->has_value() && options_.pull != Pull::kAlways) return {};
    progress("pulling image " + image);
    auto auth = registry_auth(options_.environment, registry_of(image), deadline);
    if (!auth.ok()) return std::move(auth).error();
    Status status = client_.pull_image(
        image, *auth, [&](const std::string& bytes) { progress("pulling image " + image + ": " + bytes); }, deadline);
    if (status.ok()) return {};
    Code code = status.error().code;
    if (code == Code::kDiskFull || code == Code::kTimeout) return status;
    Error error(Code::kImage, "image " + image + (present->has_value() ? "" : " is absent and") + " cannot be pulled");
    error.with("because", status.error().message);
    if (!*auth) error.with("note", "nobody is logged in to " + registry_of(image) + "; if it wants that: docker login");
    if (present->has_value()) return error.with("try", "init without --pull always: the image that is here");
    return std::move(error)
        .with("try", "docker pull " + image + ", or docker load it from another machine")
        .with("try", "name an image that docker images lists as postgres.image")
        .with("try", "build one from the distribution's packages: images/make_postgres_image.sh");
  }

  Result<std::string> balancer_image(Deadline deadline) {
    auto program = os::read_file(options_.balancer_binary_path, kProgramLimit);
    if (!program.ok()) return std::move(program).error();
    return ensure_balancer_image(client_, *program, deadline);
  }

  Status ensure_volume(const UnitSpec& unit, Deadline deadline) {
    std::string name = volume_name_of(unit.cluster, unit.name);
    auto volumes = client_.list_volumes({}, deadline);
    if (!volumes.ok()) return std::move(volumes).error();
    for (const DockerVolume& volume : *volumes) {
      if (volume.name != name) continue;
      if (is_ours(volume.labels, unit.cluster)) return {};
      return Error(Code::kNameInUse, "a volume " + name + " exists and is not of this cluster")
          .with("try", "rename or remove it, or give another name in the cluster file");
    }
    Labels labels = unit_labels(unit);
    labels.erase(kLabelSpec);  // the data outlives the container that the spec describes
    return client_.create_volume(name, labels, deadline);
  }

  Result<std::string> create(const UnitSpec& unit, Deadline deadline) {
    auto network = own_network(client_, unit.cluster, deadline);
    if (!network.ok()) return std::move(network).error();
    std::string image = unit.image;
    std::string mount;
    if (unit.kind == UnitSpec::Kind::kNode) {
      auto info = client_.inspect_image(unit.image, deadline);
      if (!info.ok()) return std::move(info).error();
      if (!info->has_value())
        return Error(Code::kImage, "image " + unit.image + " is absent").with("try", "init again");
      mount = data_mount((*info)->volumes);
    } else {
      auto balancer = balancer_image(deadline);
      if (!balancer.ok()) return std::move(balancer).error();
      image = *balancer;
      mount = unit.volume_at;
    }
    if (!mount.empty()) PGB_TRY(ensure_volume(unit, deadline));
    std::string spec = container_spec(unit, image, network->name, mount);
    auto made = client_.create_container(container_name_of(unit), spec, deadline);
    bool image_gone = !made.ok() && made.error().code == Code::kImage && unit.kind == UnitSpec::Kind::kBalancer;
    if (!image_gone) return made;
    // Another cluster's remove_shared() took it for unused between the look and the use.
    auto again = balancer_image(deadline);
    if (!again.ok()) return std::move(again).error();
    return client_.create_container(container_name_of(unit), spec, deadline);
  }

  // Into a running container only the files: its program is in use.
  Status put_files(const UnitSpec& unit, const std::string& id, bool with_program, Deadline deadline) {
    std::string agent;
    if (with_program && unit.kind == UnitSpec::Kind::kNode) {
      auto program = os::read_file(options_.agent_binary_path, kProgramLimit);
      if (!program.ok()) return std::move(program).error();
      agent = std::move(*program);
    }
    auto archive = unit_archive(unit, agent);
    if (!archive.ok()) return std::move(archive).error();
    return client_.put_archive(id, "/", std::move(*archive), deadline);
  }

  Status remove_volumes(const std::vector<std::string>& labels, Deadline deadline) {
    auto volumes = client_.list_volumes(labels, deadline);
    if (!volumes.ok()) return std::move(volumes).error();
    // One in use stays and is told as left.
    for (const DockerVolume& volume : *volumes) (void)client_.remove_volume(volume.name, deadline).ok();
    return {};
  }

  Result<std::vector<std::string>> what_is_left(const std::vector<std::string>& labels, bool keep_data,
                                                Deadline deadline) {
    std::vector<std::string> left;
    auto containers = client_.list_containers(labels, deadline);
    if (!containers.ok()) return std::move(containers).error();
    for (const auto& container : *containers)
      left.push_back("container " + container.name + " (" + container.state + ")");
    auto networks = client_.list_networks(labels, deadline);
    if (!networks.ok()) return std::move(networks).error();
    for (const DockerNetwork& network : *networks)
      left.push_back("network " + network.name + holders(network, deadline));
    if (keep_data) return left;
    auto volumes = client_.list_volumes(labels, deadline);
    if (!volumes.ok()) return std::move(volumes).error();
    for (const DockerVolume& volume : *volumes) left.push_back("volume " + volume.name);
    return left;
  }

  std::string holders(const DockerNetwork& network, Deadline deadline) {
    auto details = client_.inspect_network(network.id, deadline);
    if (!details.ok() || !details->has_value() || (*details)->containers.empty()) return "";
    std::string names;
    for (const std::string& name : (*details)->containers) names += (names.empty() ? "" : ", ") + name;
    return ", used by container " + names;
  }

  DockerClient client_;
  DockerOptions options_;
};

}  // namespace

Result<std::unique_ptr<Runtime>> make_docker_runtime(DockerOptions options) {
  auto client = connect_to_engine(options.environment, options.trace);
  if (!client.ok()) return std::move(client).error();
  return std::unique_ptr<Runtime>(std::make_unique<DockerRuntime>(std::move(*client), std::move(options)));
}

}  // namespace pgb::runtime
