// The Docker runtime against a real Engine: that of PGB_TEST_DOCKER, for example unix:///var/run/docker.sock.
// Everything made is labelled with a cluster name of its own and removed at the end.
#include "runtime/docker_runtime.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "os/file.h"
#include "os/test_dir.h"
#include "runtime/docker_balancer_image.h"
#include "runtime/docker_client.h"
#include "runtime/docker_spec.h"
#include "runtime/ports.h"
#include "runtime/process_test_harness.h"
#include "runtime/runtime_contract.h"
#include "runtime/tar.h"

namespace pgb::runtime {
namespace {

constexpr char kImageRepository[] = "pgb-runtime-test";
constexpr char kEngineVariable[] = "PGB_TEST_DOCKER";

Deadline soon() { return Deadline::after(std::chrono::seconds(60)); }

std::string stub_path() { return os::self_exe_dir() + "/runtime_unit_stub_static"; }

// Why the tests cannot run here; empty if they can.
std::string obstacle() {
  if (std::getenv(kEngineVariable) == nullptr) return "PGB_TEST_DOCKER names no engine";
  if (!os::exists(stub_path())) return "this build has no static stub program";
  return "";
}

class DockerHarness : public ContractHarness {
 public:
  DockerHarness() {
    static std::atomic<int> count{0};
    int number = count++;
    cluster_.cluster_name = "pgbtest" + std::to_string(::getpid()) + "x" + std::to_string(number);
    cluster_.network.name = cluster_.cluster_name + "_net";
    cluster_.network.subnet = "10.213." + std::to_string((::getpid() * 7 + number) % 256) + ".0/24";
    cluster_.postgres.image = std::string(kImageRepository) + ":" + cluster_.cluster_name;
    options_.agent_binary_path = options_.balancer_binary_path = stub_path();
    options_.environment.variable = [](const std::string& name) -> std::optional<std::string> {
      if (name == "DOCKER_HOST") return std::string(std::getenv(kEngineVariable));
      return std::nullopt;
    };
    options_.trace = [this](const std::string& what, std::chrono::milliseconds) {
      std::lock_guard lock(mutex_);
      traced_.push_back(what);
    };
    auto endpoint = http::Endpoint::parse(std::getenv(kEngineVariable));
    EXPECT_TRUE(endpoint.ok());
    client_ = std::make_unique<DockerClient>(DockerClient::connect(*endpoint, nullptr, soon()).value());
    runtime_ = std::move(make_docker_runtime(options_)).value();
    import_node_image("");
  }
  DockerHarness(const DockerHarness&) = delete;
  DockerHarness& operator=(const DockerHarness&) = delete;
  ~DockerHarness() override {
    auto units = runtime_->list(name(), soon()).value();  // a copy: the Result ends with the statement
    for (const UnitInfo& unit : units) {
      EXPECT_TRUE(client_->remove_container(unit.id, soon()).ok());
    }
    for (const std::string& id : foreign_) EXPECT_TRUE(client_->remove_container(id, soon()).ok());
    auto left = runtime_->remove_shared(name(), false, soon());
    EXPECT_TRUE(left.ok() && left->empty()) << (left.ok() ? left->front() : left.error().message);
    EXPECT_TRUE(client_->remove_image(cluster_.postgres.image, soon()).ok());
  }

  Runtime& runtime() override { return *runtime_; }
  model::Cluster cluster() override { return cluster_; }
  void complete(UnitSpec& unit) override {
    unit.bind_address = "127.0.0.1";
    unit.image = cluster_.postgres.image;
  }
  void make_foreign(const std::string& unit_name) override {
    std::string spec = "{\"Image\": \"" + cluster_.postgres.image + "\", \"Cmd\": [\"/none\"]}";
    auto id = client_->create_container(name() + "_" + unit_name, spec, soon());
    ASSERT_TRUE(id.ok()) << id.error().message;
    foreign_.push_back(*id);
  }
  uint16_t take_port() override { return ports_.take_port(); }
  void release_ports() { ports_.release_ports(); }

  UnitSpec unit(const std::string& unit_name) {
    UnitSpec spec;
    spec.cluster = name();
    spec.group = "lb";
    spec.name = unit_name;
    spec.spec_hash = "hash-1";
    spec.files = {{"agent.json", "{}"}};
    complete(spec);
    return spec;
  }
  Status make(const UnitSpec& spec) {
    PGB_TRY(runtime_->prepare(
        cluster_, {spec}, [](const std::string&) {}, soon()));
    return runtime_->ensure(spec, soon());
  }
  UnitInfo info(const std::string& unit_name) {
    auto units = runtime_->list(name(), soon()).value();
    for (const UnitInfo& unit : units) {
      if (unit.name == unit_name) return unit;
    }
    return {};
  }
  // An image with next to nothing in it: the agent brings itself.
  void import_node_image(const std::string& change) {
    TarWriter tar;
    EXPECT_TRUE(tar.add_dir("etc", 0755).ok());
    std::vector<std::string> changes;
    if (!change.empty()) changes.push_back(change);
    EXPECT_TRUE(client_->remove_image(cluster_.postgres.image, soon()).ok());  // else it would stay, nameless
    auto status = client_->import_image(kImageRepository, name(), tar.finish(), changes, soon());
    EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
  }
  const std::string& name() const { return cluster_.cluster_name; }
  const DockerClient& client() const { return *client_; }
  model::Cluster& file() { return cluster_; }
  std::vector<std::string> traced() {
    std::lock_guard lock(mutex_);
    return traced_;
  }

 private:
  ProcessHarness ports_;  // knows how to take a port
  model::Cluster cluster_;
  DockerOptions options_;
  std::mutex mutex_;
  std::vector<std::string> traced_;
  std::vector<std::string> foreign_;
  std::unique_ptr<DockerClient> client_;
  std::unique_ptr<Runtime> runtime_;
};

std::unique_ptr<ContractHarness> make_docker_harness() {
  if (!obstacle().empty()) return nullptr;
  return std::make_unique<DockerHarness>();
}

INSTANTIATE_TEST_SUITE_P(Docker, RuntimeContract, ::testing::Values(&make_docker_harness));

class DockerRuntimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!obstacle().empty()) GTEST_SKIP() << obstacle();
    docker_ = std::make_unique<DockerHarness>();
  }
  std::unique_ptr<DockerHarness> docker_;
};

#define ASSERT_GOOD(expr)                                                       \
  do {                                                                          \
    auto result_ = (expr);                                                      \
    ASSERT_TRUE(result_.ok()) << (result_.ok() ? "" : result_.error().message); \
  } while (false)

TEST_F(DockerRuntimeTest, DescribesTheEngine) {
  EXPECT_EQ(docker_->runtime().describe().rfind("docker ", 0), 0u);
  EXPECT_NE(docker_->runtime().describe().find(docker_->client().endpoint().str()), std::string::npos);
  EXPECT_FALSE(docker_->traced().empty());
}

TEST_F(DockerRuntimeTest, AStoppedUnitOfAnotherSpecIsMadeAnewAndKeepsItsVolume) {
  UnitSpec spec = docker_->unit("node1");
  ASSERT_GOOD(docker_->make(spec));
  std::string id = docker_->info("node1").id;
  auto volumes = docker_->client().list_volumes({label_is(kLabelCluster, docker_->name())}, soon()).value();
  ASSERT_EQ(volumes.size(), 1u);
  EXPECT_EQ(volumes[0].name, docker_->name() + "_node1_data");
  ASSERT_GOOD(docker_->runtime().stop(docker_->name(), "node1", soon()));
  spec.spec_hash = "hash-2";
  ASSERT_GOOD(docker_->runtime().ensure(spec, soon()));
  UnitInfo info = docker_->info("node1");
  EXPECT_NE(info.id, id);
  EXPECT_EQ(info.spec_hash, "hash-2");
  EXPECT_EQ(info.state, UnitState::kRunning);
  EXPECT_EQ(docker_->client().list_volumes({label_is(kLabelCluster, docker_->name())}, soon()).value().size(), 1u);
}

TEST_F(DockerRuntimeTest, NoNamelessVolumeIsMadeForAnImageThatDeclaresOne) {
  size_t before = docker_->client().list_volumes({}, soon()).value().size();
  docker_->import_node_image("VOLUME /var/lib/postgresql");
  ASSERT_GOOD(docker_->make(docker_->unit("node1")));
  EXPECT_EQ(docker_->client().list_volumes({}, soon()).value().size(), before + 1);
}

TEST_F(DockerRuntimeTest, AStaticAddressAndAPublishedPort) {
  UnitSpec spec = docker_->unit("node1");
  uint16_t port = free_port("127.0.0.1").value();
  std::string subnet = docker_->file().network.subnet;
  spec.ip_address = subnet.substr(0, subnet.rfind('.')) + ".77";
  spec.ports = {{5432, port}};
  ASSERT_GOOD(docker_->make(spec));
  EXPECT_EQ(docker_->info("node1").ports[5432], port);
  auto errors = docker_->runtime().preflight(docker_->file(), {spec}, soon());
  EXPECT_TRUE(errors.empty()) << errors.front().message;  // what we hold ourselves is no obstacle
  UnitSpec second = docker_->unit("node2");
  second.ports = {{5432, port}};
  errors = docker_->runtime().preflight(docker_->file(), {second}, soon());
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].code, Code::kPortInUse);
  EXPECT_EQ(errors[0].details[0].second, "container " + docker_->name() + "_node1");
  Status status = docker_->runtime().ensure(second, soon());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kPortInUse) << status.error().message;
  second.ports.clear();
  second.ip_address = spec.ip_address;
  second.spec_hash = "hash-2";
  status = docker_->runtime().ensure(second, soon());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kSubnetInUse) << status.error().message;
}

TEST_F(DockerRuntimeTest, WhatIsCutOffComesBackWithItsAddress) {
  UnitSpec spec = docker_->unit("node1");
  const std::string subnet = docker_->file().network.subnet;
  spec.ip_address = subnet.substr(0, subnet.rfind('.')) + ".78";
  ASSERT_GOOD(docker_->make(spec));
  const auto addresses = [&] {
    std::vector<std::string> found;
    const auto networks = docker_->client().list_networks({}, soon()).value();
    for (const DockerNetwork& network : networks) {
      const auto details = docker_->client().inspect_network(network.id, soon()).value();
      if (!details) continue;
      for (const std::string& name : details->containers) found.push_back(network.name + " " + name);
    }
    return found;
  };
  const auto before = addresses();
  ASSERT_EQ(std::count(before.begin(), before.end(), docker_->file().network.name + " " + docker_->name() + "_node1"),
            1);
  ASSERT_GOOD(docker_->runtime().cut_off(docker_->name(), "node1", soon()));
  EXPECT_EQ(addresses().size(), before.size() - 1);
  const auto cut_off = [&] { return docker_->runtime().list(docker_->name(), soon()).value().at(0).cut_off; };
  EXPECT_TRUE(cut_off());
  UnitSpec second = docker_->unit("node2");
  second.ip_address = spec.ip_address;
  ASSERT_GOOD(docker_->runtime().connect(spec, soon()));
  EXPECT_EQ(addresses(), before);
  EXPECT_FALSE(cut_off());
  EXPECT_FALSE(docker_->runtime().ensure(second, soon()).ok()) << "it has its address again";
  // Who finds it cut off makes it whole.
  ASSERT_GOOD(docker_->runtime().cut_off(docker_->name(), "node1", soon()));
  ASSERT_GOOD(docker_->runtime().ensure(spec, soon()));
  EXPECT_EQ(addresses(), before);
}

// A killed manager's last request may still be under way: the engine holds the port already, the container does not
// run yet.
TEST_F(DockerRuntimeTest, AStartThatIsUnderWayIsNoObstacle) {
  UnitSpec spec = docker_->unit("node1");
  ASSERT_GOOD(docker_->make(spec));
  ASSERT_GOOD(docker_->runtime().stop(docker_->name(), "node1", soon()));
  spec.ports = {{5432, docker_->take_port()}};
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    docker_->release_ports();
  });
  auto errors = docker_->runtime().preflight(docker_->file(), {spec}, soon());
  later.join();
  EXPECT_TRUE(errors.empty()) << errors.front().message;
  spec.ports = {{5432, docker_->take_port()}};
  errors = docker_->runtime().preflight(docker_->file(), {spec}, soon());
  ASSERT_EQ(errors.size(), 1u);  // one that somebody else keeps
  EXPECT_EQ(errors[0].code, Code::kPortInUse);
}

TEST_F(DockerRuntimeTest, PreflightNamesTheNetworkThatHasTheSubnet) {
  DockerHarness other;
  other.file().network.subnet = "10.214.0.0/16";
  ASSERT_GOOD(other.runtime().prepare(
      other.file(), {}, [](const std::string&) {}, soon()));
  docker_->file().network.subnet = "10.214.7.0/24";
  auto errors = docker_->runtime().preflight(docker_->file(), {}, soon());
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].code, Code::kSubnetInUse);
  EXPECT_NE(errors[0].message.find(other.file().network.name), std::string::npos) << errors[0].message;
  Status status = docker_->runtime().prepare(
      docker_->file(), {}, [](const std::string&) {}, soon());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kSubnetInUse) << status.error().message;
}

TEST_F(DockerRuntimeTest, AnothersNetworkOfThatNameIsNotUsed) {
  DockerHarness other;
  ASSERT_GOOD(other.runtime().prepare(
      other.file(), {}, [](const std::string&) {}, soon()));
  docker_->file().network.name = other.file().network.name;
  auto errors = docker_->runtime().preflight(docker_->file(), {}, soon());
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].code, Code::kNameInUse);
  Status status = docker_->runtime().prepare(
      docker_->file(), {}, [](const std::string&) {}, soon());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kNameInUse);
}

TEST_F(DockerRuntimeTest, AnothersVolumeIsNotUsed) {
  std::string volume = docker_->name() + "_node1_data";
  ASSERT_GOOD(docker_->client().create_volume(volume, {}, soon()));
  UnitSpec spec = docker_->unit("node1");
  auto errors = docker_->runtime().preflight(docker_->file(), {spec}, soon());
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].code, Code::kNameInUse);
  Status status = docker_->make(spec);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kNameInUse);
  ASSERT_GOOD(docker_->runtime().remove(docker_->name(), "node1", false, soon()));
  EXPECT_TRUE(docker_->runtime().remove_shared(docker_->name(), false, soon()).value().empty());
  bool there = false;
  auto volumes = docker_->client().list_volumes({}, soon()).value();
  for (const DockerVolume& v : volumes) there = there || v.name == volume;
  EXPECT_TRUE(there);
  ASSERT_GOOD(docker_->client().remove_volume(volume, soon()));
}

TEST_F(DockerRuntimeTest, AForeignContainerThatHoldsTheNetworkIsNamed) {
  ASSERT_GOOD(docker_->make(docker_->unit("node1")));
  UnitSpec stranger = docker_->unit("stranger");
  std::string spec = "{\"Image\": \"" + balancer_image_name(os::read_file(stub_path()).value()) +
                     "\", \"Entrypoint\": [\"/pgbalancer/pgbalancer\", \"--config\", \"/etc/hostname\"]" +
                     ", \"HostConfig\": {\"NetworkMode\": \"" + docker_->file().network.name + "\"}}";
  ASSERT_GOOD(ensure_balancer_image(docker_->client(), os::read_file(stub_path()).value(), soon()));
  auto id = docker_->client().create_container(docker_->name() + "_guest", spec, soon());
  ASSERT_GOOD(id);
  ASSERT_GOOD(docker_->client().start_container(*id, soon()));
  ASSERT_GOOD(docker_->runtime().remove(docker_->name(), "node1", false, soon()));
  auto left = docker_->runtime().remove_shared(docker_->name(), false, soon());
  ASSERT_GOOD(left);
  ASSERT_EQ(left->size(), 1u);
  EXPECT_EQ(left->front(),
            "network " + docker_->file().network.name + ", used by container " + docker_->name() + "_guest");
  ASSERT_GOOD(docker_->client().remove_container(*id, soon()));
  EXPECT_TRUE(docker_->runtime().remove_shared(docker_->name(), false, soon()).value().empty());
}

TEST_F(DockerRuntimeTest, AnImageThatCannotBeHadIsNamedWithAdvice) {
  UnitSpec spec = docker_->unit("node1");
  spec.image = "127.0.0.1:1/no/such:image";
  std::string told;
  Status status = docker_->runtime().prepare(
      docker_->file(), {spec}, [&](const std::string& text) { told = text; }, soon());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kImage);
  EXPECT_NE(status.error().message.find(spec.image), std::string::npos);
  EXPECT_NE(told.find(spec.image), std::string::npos);
  std::string advice;
  for (const auto& [label, text] : status.error().details) advice += text + "\n";
  EXPECT_NE(advice.find("make_postgres_image.sh"), std::string::npos);
}

TEST_F(DockerRuntimeTest, FilesAreRootsAloneAndComeIntoARunningUnitToo) {
  UnitSpec spec = docker_->unit("node1");
  spec.files.push_back({"init/0001-init.sql", "select 1"});
  ASSERT_GOOD(docker_->make(spec));
  spec.files[1].content = "select 2";
  ASSERT_GOOD(docker_->runtime().ensure(spec, soon()));
  http::Request request;
  request.target = "/containers/" + docker_->info("node1").id + "/archive?path=/pgbalancer/init/0001-init.sql";
  auto tar = http::call(docker_->client().endpoint(), request, soon());
  ASSERT_GOOD(tar);
  ASSERT_EQ(tar->status, 200) << tar->body;
  EXPECT_EQ(tar->body.substr(100, 7), "0100600");
  EXPECT_EQ(tar->body.substr(108, 7), "0000000");
  EXPECT_EQ(tar->body.substr(512, 8), "select 2");
}

}  // namespace
}  // namespace pgb::runtime
