// For tests: a process runtime in a directory of its own, with the stub as agent and balancer.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "os/file.h"
#include "os/test_dir.h"
#include "os/unique_fd.h"
#include "runtime/process_runtime.h"
#include "runtime/runtime_contract.h"

namespace pgb::runtime {

class ProcessHarness : public ContractHarness {
 public:
  ProcessHarness() {
    // A copy where the user the programs run as can reach it.
    ::chmod(dir_.path.c_str(), 0755);
    auto program = os::read_file(os::self_exe_dir() + "/runtime_unit_stub");
    EXPECT_TRUE(program.ok() && os::write_file_atomic(stub(), *program, 0755).ok());
    ProcessOptions options;
    options.state_dir = state_dir();
    options.agent_binary = options.balancer_binary = stub();
    options.trace = [this](const std::string& what, std::chrono::milliseconds) {
      std::lock_guard lock(mutex_);
      traced.push_back(what);
    };
    auto made = make_process_runtime(options);
    EXPECT_TRUE(made.ok());
    if (made.ok()) runtime_ = std::move(*made);
  }
  ProcessHarness(const ProcessHarness&) = delete;
  ProcessHarness& operator=(const ProcessHarness&) = delete;
  ~ProcessHarness() override {
    auto units = runtime_->list("test", Deadline::never());
    if (!units.ok()) return;
    for (const UnitInfo& unit : *units) {
      (void)runtime_->remove("test", unit.name, false, Deadline::after(std::chrono::seconds(5))).ok();
    }
  }

  Runtime& runtime() override { return *runtime_; }
  model::Cluster cluster() override {
    model::Cluster cluster;
    cluster.cluster_name = "test";
    return cluster;
  }
  void complete(UnitSpec& unit) override { unit.bind_address = "127.0.0.1"; }
  void make_foreign(const std::string& name) override {
    EXPECT_TRUE(os::make_dirs(unit_dir(name), 0700).ok());
    EXPECT_TRUE(os::write_file_atomic(unit_dir(name) + "/precious", "x", 0600).ok());
  }
  uint16_t take_port() override {
    os::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd.get(), 1), 0);
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
    taken_.push_back(std::move(fd));
    return ntohs(address.sin_port);
  }
  void release_ports() { taken_.clear(); }

  std::string stub() const { return dir_.path + "/stub"; }
  std::string state_dir() const { return dir_.path + "/state"; }
  std::string unit_dir(const std::string& name) const { return process_unit_dir(state_dir(), "test", name); }
  const std::string& top() const { return dir_.path; }

  std::vector<std::string> traced;  // look at it only while no call runs

 private:
  os::TestDir dir_;
  std::mutex mutex_;
  std::vector<os::UniqueFd> taken_;
  std::unique_ptr<Runtime> runtime_;
};

}  // namespace pgb::runtime
