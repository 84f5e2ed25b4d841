#include "runtime/runtime_contract.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "os/file.h"
#include "runtime/fake_runtime.h"
#include "runtime/process_test_harness.h"

namespace pgb::runtime {

UnitSpec RuntimeContract::unit(const std::string& name, UnitSpec::Kind kind) {
  UnitSpec spec;
  spec.kind = kind;
  spec.cluster = cluster_name();
  spec.group = "lb";
  spec.name = name;
  spec.spec_hash = "hash-1";
  spec.files = {{kind == UnitSpec::Kind::kNode ? "agent.json" : "balancer.json", "{}"}};
  harness_->complete(spec);
  return spec;
}

UnitInfo RuntimeContract::info(const std::string& name) {
  auto units = runtime().list(cluster_name(), soon());
  EXPECT_TRUE(units.ok()) << (units.ok() ? "" : units.error().message);
  if (units.ok()) {
    for (const UnitInfo& unit : *units) {
      if (unit.name == name) return unit;
    }
  }
  return {};
}

namespace {

#define EXPECT_OK(expr)                                                         \
  do {                                                                          \
    auto result_ = (expr);                                                      \
    EXPECT_TRUE(result_.ok()) << (result_.ok() ? "" : result_.error().message); \
  } while (false)

TEST_P(RuntimeContract, NothingExistsAtFirst) {
  EXPECT_TRUE(runtime().list(cluster_name(), soon()).value().empty());
  auto clusters = runtime().clusters(soon()).value();
  EXPECT_EQ(std::count(clusters.begin(), clusters.end(), cluster_name()), 0);
  EXPECT_FALSE(runtime().describe().empty());
}

TEST_P(RuntimeContract, EnsureStartsTheUnitAndListTellsOfIt) {
  UnitSpec spec = unit("node1");
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));
  UnitInfo made = info("node1");
  EXPECT_EQ(made.state, UnitState::kRunning);
  EXPECT_EQ(made.group, "lb");
  EXPECT_EQ(made.kind, UnitSpec::Kind::kNode);
  EXPECT_EQ(made.spec_hash, "hash-1");
  EXPECT_FALSE(made.id.empty());
  auto clusters = runtime().clusters(soon()).value();
  EXPECT_EQ(std::count(clusters.begin(), clusters.end(), cluster_name()), 1);
}

TEST_P(RuntimeContract, WhatIsMissingIsToldUntilItIsPrepared) {
  const UnitSpec spec = unit("node1");
  auto missing = runtime().missing_shared(harness_->cluster(), {spec}, soon());
  ASSERT_TRUE(missing.ok()) << missing.error().message;
  EXPECT_FALSE(missing->empty());
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  missing = runtime().missing_shared(harness_->cluster(), {spec}, soon());
  ASSERT_TRUE(missing.ok()) << missing.error().message;
  EXPECT_TRUE(missing->empty()) << missing->front();
}

TEST_P(RuntimeContract, EnsureLeavesARunningUnitRunning) {
  UnitSpec spec = unit("node1");
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));
  std::string id = info("node1").id;
  spec.spec_hash = "hash-2";
  EXPECT_OK(runtime().ensure(spec, soon()));
  EXPECT_EQ(info("node1").id, id);
  EXPECT_EQ(info("node1").spec_hash, "hash-1");  // as it was made: the caller sees that it is outdated
  EXPECT_OK(runtime().stop(cluster_name(), "node1", soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));
  EXPECT_EQ(info("node1").spec_hash, "hash-2");  // started anew, it is what was asked for
}

TEST_P(RuntimeContract, AUnitStopsAndStartsAgain) {
  UnitSpec spec = unit("lb", UnitSpec::Kind::kBalancer);
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));
  EXPECT_EQ(info("lb").kind, UnitSpec::Kind::kBalancer);
  EXPECT_OK(runtime().stop(cluster_name(), "lb", soon()));
  EXPECT_EQ(info("lb").state, UnitState::kStopped);
  EXPECT_OK(runtime().stop(cluster_name(), "lb", soon()));
  EXPECT_OK(runtime().start(cluster_name(), "lb", soon()));
  EXPECT_OK(runtime().start(cluster_name(), "lb", soon()));
  EXPECT_EQ(info("lb").state, UnitState::kRunning);
  EXPECT_OK(runtime().stop(cluster_name(), "lb", soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));  // starts what is stopped
  EXPECT_EQ(info("lb").state, UnitState::kRunning);
}

TEST_P(RuntimeContract, AbsentUnitsStopAndGoButDoNotStart) {
  EXPECT_OK(runtime().stop(cluster_name(), "none", soon()));
  EXPECT_OK(runtime().remove(cluster_name(), "none", false, soon()));
  EXPECT_FALSE(runtime().start(cluster_name(), "none", soon()).ok());
  EXPECT_FALSE(runtime().logs(cluster_name(), "none", {}, soon()).ok());
}

TEST_P(RuntimeContract, RemovedWithItsDataNothingIsLeft) {
  UnitSpec spec = unit("node1");
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));
  EXPECT_OK(runtime().remove(cluster_name(), "node1", false, soon()));
  EXPECT_EQ(info("node1").state, UnitState::kAbsent);
  auto left = runtime().remove_shared(cluster_name(), false, soon());
  ASSERT_TRUE(left.ok()) << left.error().message;
  EXPECT_EQ(left->size(), 0u);
  auto clusters = runtime().clusters(soon()).value();
  EXPECT_EQ(std::count(clusters.begin(), clusters.end(), cluster_name()), 0);
  EXPECT_OK(runtime().remove_shared(cluster_name(), false, soon()));  // again: success
}

TEST_P(RuntimeContract, WhatIsKilledStaysDownUntilItIsStarted) {
  UnitSpec spec = unit("node1");
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));
  EXPECT_OK(runtime().kill(cluster_name(), "node1", soon()));
  EXPECT_EQ(info("node1").state, UnitState::kStopped);
  EXPECT_OK(runtime().kill(cluster_name(), "node1", soon()));  // again: success
  EXPECT_OK(runtime().kill(cluster_name(), "nobody", soon()));
  EXPECT_OK(runtime().start(cluster_name(), "node1", soon()));
  EXPECT_EQ(info("node1").state, UnitState::kRunning);
}

TEST_P(RuntimeContract, WhatIsCutOffRunsOnAndIsConnectedAgainOrItIsSaidWhyNot) {
  UnitSpec spec = unit("node1");
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));
  const Status cut = runtime().cut_off(cluster_name(), "node1", soon());
  EXPECT_TRUE(cut.ok() || cut.error().code == Code::kNotReady) << cut.error().message;
  EXPECT_EQ(info("node1").state, UnitState::kRunning);
  EXPECT_OK(runtime().connect(spec, soon()));
  EXPECT_OK(runtime().connect(spec, soon()));  // again: success
  EXPECT_EQ(info("node1").state, UnitState::kRunning);
}

TEST_P(RuntimeContract, KeptDataCountsAsTheClusterUntilItIsRemoved) {
  UnitSpec spec = unit("node1");
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));
  EXPECT_OK(runtime().remove(cluster_name(), "node1", true, soon()));
  EXPECT_EQ(info("node1").state, UnitState::kAbsent);
  EXPECT_TRUE(runtime().remove_shared(cluster_name(), true, soon()).value().empty());
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));  // takes its data up again
  EXPECT_EQ(info("node1").state, UnitState::kRunning);
  EXPECT_OK(runtime().remove(cluster_name(), "node1", true, soon()));
  EXPECT_TRUE(runtime().remove_shared(cluster_name(), false, soon()).value().empty());
  auto clusters = runtime().clusters(soon()).value();
  EXPECT_EQ(std::count(clusters.begin(), clusters.end(), cluster_name()), 0);
}

TEST_P(RuntimeContract, RemoveSharedTellsWhatIsLeft) {
  UnitSpec spec = unit("node1");
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));
  auto left = runtime().remove_shared(cluster_name(), false, soon());
  ASSERT_TRUE(left.ok()) << left.error().message;
  EXPECT_FALSE(left->empty());
  EXPECT_EQ(info("node1").state, UnitState::kRunning);
}

TEST_P(RuntimeContract, LogsGivesTheLastLines) {
  UnitSpec spec = unit("node1");
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));
  Deadline limit = soon();
  std::string last;
  while (last != "stub ready\n" && !limit.expired()) {
    last = runtime().logs(cluster_name(), "node1", {1, ""}, soon()).value().text;
    ::poll(nullptr, 0, 5);
  }
  EXPECT_EQ(last, "stub ready\n");
  auto all = runtime().logs(cluster_name(), "node1", {100, ""}, soon()).value();
  EXPECT_EQ(all.text, "stub started\nstub ready\n");

  // From there on only what is new, once.
  auto later = runtime().logs(cluster_name(), "node1", {1, all.cursor}, soon()).value();
  EXPECT_EQ(later.text, "");
  EXPECT_OK(runtime().stop(cluster_name(), "node1", soon()));
  EXPECT_OK(runtime().start(cluster_name(), "node1", soon()));
  std::string more;
  while (more.size() < all.text.size() && !limit.expired()) {
    later = runtime().logs(cluster_name(), "node1", {1, later.cursor}, soon()).value();
    more += later.text;
    ::poll(nullptr, 0, 5);
  }
  EXPECT_EQ(more, all.text);
  EXPECT_EQ(runtime().logs(cluster_name(), "node1", {1, later.cursor}, soon()).value().text, "");
}

TEST_P(RuntimeContract, WhatIsNotOursIsNeitherUsedNorRemoved) {
  harness_->make_foreign("node1");
  UnitSpec spec = unit("node1");
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  auto errors = runtime().preflight(harness_->cluster(), {spec}, soon());
  EXPECT_EQ(std::count_if(errors.begin(), errors.end(), [](const Error& e) { return e.code == Code::kNameInUse; }), 1);
  Status status = runtime().ensure(spec, soon());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kNameInUse);
  EXPECT_EQ(info("node1").state, UnitState::kAbsent);
}

TEST_P(RuntimeContract, PreflightTellsOfEveryTakenPortAtOnce) {
  UnitSpec first = unit("lb1", UnitSpec::Kind::kBalancer), second = unit("lb2", UnitSpec::Kind::kBalancer);
  first.ports = {{5432, harness_->take_port()}};
  second.ports = {{5432, harness_->take_port()}};
  auto errors = runtime().preflight(harness_->cluster(), {first, second}, soon());
  std::vector<Obstacle> ports;
  for (const Obstacle& error : errors) {
    if (error.code == Code::kPortInUse) ports.push_back(error);
  }
  ASSERT_EQ(ports.size(), 2u);
  EXPECT_EQ(ports[0].unit, "lb1");
  EXPECT_EQ(ports[0].port, first.ports[0].second);
  EXPECT_FALSE(ports[0].held_by.empty());
  EXPECT_NE(ports[0].message.find(std::to_string(first.ports[0].second)), std::string::npos);
  EXPECT_NE(ports[1].message.find(std::to_string(second.ports[0].second)), std::string::npos);
}

TEST_P(RuntimeContract, APortThatIsLeftOpenIsChosen) {
  UnitSpec spec = unit("lb", UnitSpec::Kind::kBalancer);
  spec.ports = {{5432, 0}};
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), {spec}, [](const std::string&) {}, soon()));
  EXPECT_OK(runtime().ensure(spec, soon()));
  UnitInfo made = info("lb");
  ASSERT_EQ(made.ports.count(5432), 1u);
  EXPECT_GT(made.ports[5432], 0);
}

TEST_P(RuntimeContract, UnitsAreMadeInParallel) {
  std::vector<UnitSpec> specs;
  for (int i = 0; i < 4; ++i) specs.push_back(unit("node" + std::to_string(i)));
  EXPECT_OK(runtime().prepare(
      harness_->cluster(), specs, [](const std::string&) {}, soon()));
  std::vector<std::thread> threads;
  for (const UnitSpec& spec : specs) threads.emplace_back([&] { EXPECT_OK(runtime().ensure(spec, soon())); });
  for (std::thread& thread : threads) thread.join();
  for (const UnitSpec& spec : specs) EXPECT_EQ(info(spec.name).state, UnitState::kRunning);
}

class FakeHarness : public ContractHarness {
 public:
  Runtime& runtime() override { return runtime_; }
  model::Cluster cluster() override {
    model::Cluster cluster;
    cluster.cluster_name = "test";
    return cluster;
  }
  void complete(UnitSpec&) override {}
  void make_foreign(const std::string& name) override { runtime_.foreign.insert(name); }
  uint16_t take_port() override {
    uint16_t port = static_cast<uint16_t>(50000 + runtime_.taken_ports.size());
    runtime_.taken_ports.insert(port);
    return port;
  }

 private:
  FakeRuntime runtime_;
};

std::unique_ptr<ContractHarness> make_fake_harness() { return std::make_unique<FakeHarness>(); }
std::unique_ptr<ContractHarness> make_process_harness() { return std::make_unique<ProcessHarness>(); }

INSTANTIATE_TEST_SUITE_P(Fake, RuntimeContract, ::testing::Values(&make_fake_harness));
INSTANTIATE_TEST_SUITE_P(Process, RuntimeContract, ::testing::Values(&make_process_harness));

}  // namespace
}  // namespace pgb::runtime
