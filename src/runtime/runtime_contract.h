// The promises of runtime.h as tests, for every implementation. A new one adds, in its own *_test.cc:
//   INSTANTIATE_TEST_SUITE_P(Docker, RuntimeContract, ::testing::Values(&make_docker_harness));
// Tests only.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "runtime/runtime.h"

namespace pgb::runtime {

// A runtime to test, with what its kind needs around it. Its destructor removes all that the test made.
class ContractHarness {
 public:
  virtual ~ContractHarness() = default;
  virtual Runtime& runtime() = 0;
  virtual model::Cluster cluster() = 0;
  // Completes a unit that has cluster, group, name, kind, spec_hash and agent.json/balancer.json; its program
  // must print "stub started" and "stub ready" on lines of their own and end at SIGTERM.
  virtual void complete(UnitSpec& unit) = 0;
  virtual void make_foreign(const std::string& unit_name) = 0;  // something of that name that is not ours
  virtual uint16_t take_port() = 0;                             // a port in use until the harness ends
};

// Null with a reason (after GTEST_SKIP's manner) if this machine cannot run it.
using HarnessFactory = std::unique_ptr<ContractHarness> (*)();

class RuntimeContract : public ::testing::TestWithParam<HarnessFactory> {
 protected:
  void SetUp() override {
    harness_ = GetParam()();
    if (!harness_) GTEST_SKIP() << "not available on this machine";
  }
  Runtime& runtime() { return harness_->runtime(); }
  std::string cluster_name() { return harness_->cluster().cluster_name; }
  UnitSpec unit(const std::string& name, UnitSpec::Kind kind = UnitSpec::Kind::kNode);
  UnitInfo info(const std::string& name);  // kAbsent if list() does not have it
  static Deadline soon() { return Deadline::after(std::chrono::seconds(60)); }

  std::unique_ptr<ContractHarness> harness_;
};

}  // namespace pgb::runtime
