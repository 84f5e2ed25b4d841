#include "runtime/process_runtime.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <thread>

#include "os/bin_dir.h"
#include "os/pidfile.h"
#include "os/process.h"
#include "os/subprocess.h"
#include "runtime/ports.h"
#include "runtime/process_end.h"
#include "runtime/process_log.h"
#include "runtime/process_test_harness.h"

namespace pgb::runtime {
namespace {

using std::chrono::milliseconds;

Deadline soon() { return Deadline::after(std::chrono::seconds(30)); }

class ProcessRuntimeTest : public ::testing::Test {
 protected:
  UnitSpec node(const std::string& config = "{}") {
    UnitSpec spec;
    spec.cluster = "test";
    spec.group = "lb";
    spec.name = "node1";
    spec.spec_hash = "h";
    spec.files = {{"agent.json", config}};
    spec.bind_address = "127.0.0.1";
    return spec;
  }
  // Runs the unit until it has said that it is ready.
  void run_node(const std::string& config) {
    Status status = runtime().ensure(node(config), soon());
    ASSERT_TRUE(status.ok()) << status.error().message;
    Deadline limit = soon();
    while (runtime().logs("test", "node1", {1, ""}, soon()).value().text != "stub ready\n") {
      ASSERT_FALSE(limit.expired());
      ::poll(nullptr, 0, 5);
    }
  }
  Runtime& runtime() { return harness_.runtime(); }
  std::string unit_file(const std::string& name) { return harness_.unit_dir("node1") + "/" + name; }
  pid_t pid() { return os::live_pid(unit_file("pid")).value_or(-1); }
  UnitDir unit_dir() { return UnitDir::at(harness_.state_dir(), "test", "node1").value(); }

  ProcessHarness harness_;
};

struct stat stat_of(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
  return info;
}

TEST_F(ProcessRuntimeTest, FilesAreClosedToOthersAndOwnedByTheProgramsUser) {
  UnitSpec spec = node();
  spec.files.push_back({"init/0001-a.sql", "select 1"});
  ASSERT_TRUE(runtime().ensure(spec, soon()).ok());
  uid_t owner = ::geteuid() == 0 ? stat_of("/proc/" + std::to_string(pid())).st_uid : ::geteuid();
  EXPECT_TRUE(::geteuid() != 0 || owner != 0);
  EXPECT_EQ(stat_of(unit_file("")).st_mode & 07777, 0700u);
  EXPECT_EQ(stat_of(unit_file("data")).st_mode & 07777, 0700u);
  for (const char* name : {"", "data", "agent.json", "init", "init/0001-a.sql", "log"}) {
    EXPECT_EQ(stat_of(unit_file(name)).st_uid, owner) << name;
  }
  for (const char* name : {"agent.json", "init/0001-a.sql", "log"}) {
    EXPECT_EQ(stat_of(unit_file(name)).st_mode & 07777, 0600u) << name;
  }
  EXPECT_EQ(os::read_file(unit_file("init/0001-a.sql")).value(), "select 1");
}

TEST_F(ProcessRuntimeTest, ARunningUnitGetsItsNewFiles) {
  run_node("{\"a\":1}");
  pid_t before = pid();
  ASSERT_TRUE(runtime().ensure(node("{\"a\":2}"), soon()).ok());
  EXPECT_EQ(pid(), before);
  EXPECT_EQ(os::read_file(unit_file("agent.json")).value(), "{\"a\":2}");
}

TEST_F(ProcessRuntimeTest, NamesThatLeadOutAreRefused) {
  UnitSpec spec = node();
  spec.files.push_back({"../escaped", "x"});
  EXPECT_FALSE(runtime().ensure(spec, soon()).ok());
  EXPECT_FALSE(os::exists(harness_.unit_dir("escaped")));
  spec = node();
  spec.name = "../x";
  EXPECT_FALSE(runtime().ensure(spec, soon()).ok());
  EXPECT_FALSE(runtime().remove("..", "x", false, soon()).ok());
}

TEST_F(ProcessRuntimeTest, AProgramThatIgnoresSigtermIsKilledAtTheDeadline) {
  run_node("ignore-term");
  pid_t stubborn = pid();
  ASSERT_TRUE(runtime().stop("test", "node1", Deadline::after(milliseconds(200))).ok());
  EXPECT_FALSE(os::process_start_time(stubborn));
}

TEST_F(ProcessRuntimeTest, WhatTheProgramLeavesBehindIsEnded) {
  run_node("spawn-server spawn-helper");
  auto left = followers(unit_dir(), pid());
  ASSERT_EQ(left.size(), 2u);
  ASSERT_TRUE(runtime().stop("test", "node1", Deadline::after(milliseconds(500))).ok());
  for (pid_t one : left) EXPECT_FALSE(os::process_start_time(one));
}

TEST_F(ProcessRuntimeTest, AServerWhoseAgentWasKilledIsEnded) {
  run_node("spawn-server");
  pid_t agent = pid();
  auto left = followers(unit_dir(), std::nullopt);
  ASSERT_EQ(left.size(), 1u);
  ASSERT_TRUE(os::signal_pidfile(unit_file("pid"), SIGKILL).ok());
  Deadline limit = soon();
  while (os::process_start_time(agent) && !limit.expired()) ::poll(nullptr, 0, 5);
  ASSERT_TRUE(runtime().remove("test", "node1", false, Deadline::after(milliseconds(200))).ok());
  EXPECT_FALSE(os::process_start_time(left[0]));
}

TEST_F(ProcessRuntimeTest, OneThatWasKilledAndIsNotGoneYetIsStartedAnew) {
  bool was_there = false;  // on a busy machine it may be gone before anybody looks
  for (int i = 0; i < 10 && !was_there; ++i) {
    run_node("large");
    const pid_t before = pid();
    ASSERT_TRUE(os::signal_pidfile(unit_file("pid"), SIGKILL).ok());
    was_there = os::is_ending(before);
    ASSERT_TRUE(runtime().start("test", "node1", soon()).ok());
    EXPECT_NE(pid(), before);
    EXPECT_TRUE(os::process_start_time(pid()));
  }
  EXPECT_TRUE(was_there);
}

TEST_F(ProcessRuntimeTest, APortOfItsOwnThatIsGivenUpIsNoObstacle) {
  const uint16_t port = harness_.take_port();
  UnitSpec spec = node();
  spec.ports = {{5432, port}};
  ASSERT_TRUE(runtime().ensure(spec, soon()).ok());
  ASSERT_TRUE(runtime().stop("test", "node1", soon()).ok());
  std::thread giver([&] {
    ::poll(nullptr, 0, 300);
    harness_.release_ports();
  });
  const auto errors = runtime().preflight(harness_.cluster(), {spec}, soon());
  giver.join();
  EXPECT_TRUE(std::none_of(errors.begin(), errors.end(), [](const Error& e) { return e.code == Code::kPortInUse; }));
}

TEST_F(ProcessRuntimeTest, AShellInTheDataDirectoryIsLeftAlone) {
  run_node("{}");
  os::SpawnOptions options;
  options.argv = {"/bin/sleep", "100"};
  options.cwd = unit_file("data");
  auto shell = os::spawn_detached(options);
  ASSERT_TRUE(shell.ok());
  EXPECT_TRUE(runtime().stop("test", "node1", soon()).ok());
  EXPECT_TRUE(os::process_start_time(*shell));
  ::kill(*shell, SIGKILL);
}

TEST_F(ProcessRuntimeTest, AProgramWhosePidFileWasNeverWrittenIsFoundAgain) {
  run_node("{}");
  pid_t before = pid();
  ASSERT_TRUE(os::remove_tree(unit_file("pid")).ok());
  ASSERT_TRUE(runtime().ensure(node(), soon()).ok());
  EXPECT_EQ(pid(), before);
}

TEST_F(ProcessRuntimeTest, KeepDataKeepsTheDataOnly) {
  run_node("{}");
  ASSERT_TRUE(os::write_file_atomic(unit_file("data/PG_VERSION"), "15", 0600).ok());
  ASSERT_TRUE(runtime().remove("test", "node1", true, soon()).ok());
  EXPECT_TRUE(os::exists(unit_file("data/PG_VERSION")));
  EXPECT_FALSE(os::exists(unit_file("agent.json")));
  ASSERT_TRUE(runtime().ensure(node(), soon()).ok());
  EXPECT_TRUE(os::exists(unit_file("data/PG_VERSION")));
  ASSERT_TRUE(runtime().remove("test", "node1", true, soon()).ok());
  ASSERT_TRUE(runtime().remove("test", "node1", false, soon()).ok());
  EXPECT_FALSE(os::exists(unit_file("")));
}

TEST_F(ProcessRuntimeTest, ForeignFilesAreNeverRemoved) {
  harness_.make_foreign("node1");
  EXPECT_FALSE(runtime().remove("test", "node1", false, soon()).ok());
  EXPECT_TRUE(os::exists(unit_file("precious")));
  auto left = runtime().remove_shared("test", false, soon());
  ASSERT_TRUE(left.ok());
  EXPECT_EQ(left->size(), 1u);
  EXPECT_TRUE(os::exists(unit_file("precious")));
}

TEST_F(ProcessRuntimeTest, TheCallersOwnFilesBesideTheUnitsStay) {
  run_node("{}");
  std::string mine = harness_.state_dir() + "/test/state.json";
  ASSERT_TRUE(os::write_file_atomic(mine, "{}", 0600).ok());
  ASSERT_TRUE(runtime().remove("test", "node1", false, soon()).ok());
  EXPECT_TRUE(runtime().remove_shared("test", false, soon()).value().empty());
  EXPECT_TRUE(os::exists(mine));
  EXPECT_TRUE(runtime().clusters(soon()).value().empty());
}

TEST_F(ProcessRuntimeTest, PreflightNamesTheHolderOfAPort) {
  UnitSpec spec = node();
  spec.ports = {{5432, harness_.take_port()}};
  auto errors = runtime().preflight(harness_.cluster(), {spec}, soon());
  auto it = std::find_if(errors.begin(), errors.end(), [](const Error& e) { return e.code == Code::kPortInUse; });
  ASSERT_NE(it, errors.end());
  ASSERT_FALSE(it->details.empty());
  EXPECT_NE(it->details[0].second.find("pid " + std::to_string(::getpid())), std::string::npos);
}

TEST_F(ProcessRuntimeTest, PreflightSaysThatTheProgramIsMissing) {
  ASSERT_TRUE(os::remove_tree(harness_.stub()).ok());
  UnitSpec spec = node();
  spec.kind = UnitSpec::Kind::kBalancer;
  auto errors = runtime().preflight(harness_.cluster(), {spec}, soon());
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_NE(errors[0].message.find(harness_.stub()), std::string::npos);
  EXPECT_FALSE(runtime().ensure(node(), soon()).ok());
}

TEST_F(ProcessRuntimeTest, PreflightOfRootFindsADirectoryThatItsProgramsCannotEnter) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  UnitSpec spec = node();
  spec.kind = UnitSpec::Kind::kBalancer;
  EXPECT_TRUE(runtime().preflight(harness_.cluster(), {spec}, soon()).empty());
  ::chmod(harness_.top().c_str(), 0700);
  auto errors = runtime().preflight(harness_.cluster(), {spec}, soon());
  ASSERT_FALSE(errors.empty());
  EXPECT_NE(errors[0].message.find("out of reach"), std::string::npos);
}

TEST_F(ProcessRuntimeTest, StartsAndStopsAreTraced) {
  run_node("{}");
  ASSERT_TRUE(runtime().stop("test", "node1", soon()).ok());
  ASSERT_EQ(harness_.traced.size(), 2u);
  EXPECT_EQ(harness_.traced[0].find("start "), 0u);
  EXPECT_EQ(harness_.traced[1].find("stop node1"), 0u);
}

TEST(BinDir, NeedsAllPrograms) {
  os::TestDir dir;
  for (const char* program : {"postgres", "initdb", "pg_basebackup", "pg_controldata"}) {
    ASSERT_TRUE(os::write_file_atomic(dir.path + "/" + program, "", 0755).ok());
  }
  auto found = os::find_bin_dir(dir.path);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, Code::kNoPostgres);
  EXPECT_NE(found.error().message.find("pg_rewind"), std::string::npos);
  ASSERT_TRUE(os::write_file_atomic(dir.path + "/pg_rewind", "", 0755).ok());
  EXPECT_EQ(os::find_bin_dir(dir.path).value(), dir.path);
}

TEST(Ports, AFreePortCanBeBoundAndATakenOneCannot) {
  auto port = free_port("127.0.0.1");
  ASSERT_TRUE(port.ok());
  EXPECT_TRUE(check_port_free("127.0.0.1", *port).ok());
  EXPECT_EQ(free_port("not-an-address").error().code, Code::kConfig);
  EXPECT_EQ(check_port_free("192.0.2.1", 5432).error().code, Code::kIo);  // not ours
}

TEST(Tail, GivesTheLastLines) {
  os::TestDir dir;
  std::string text;
  for (int i = 0; i < 30000; ++i) text += "line " + std::to_string(i) + "\n";
  ASSERT_TRUE(os::write_file_atomic(dir.path + "/log", text, 0600).ok());
  EXPECT_EQ(last_lines(dir.path + "/log", 2).value().text, "line 29998\nline 29999\n");
  EXPECT_EQ(last_lines(dir.path + "/log", 100000).value().text, text);
  EXPECT_EQ(last_lines(dir.path + "/log", 0).value().text, "");
  EXPECT_EQ(last_lines(dir.path + "/none", 5).value().text, "");
}

TEST(ProcessLog, ALogThatIsBegunAnewIsFirstReadToItsEnd) {
  os::TestDir dir;
  const std::string log = dir.path + "/log", old = dir.path + "/log.1";
  auto at = lines_after(log, old, last_lines(log, 1).value().cursor).value();  // before there is one
  EXPECT_EQ(at.text, "");
  std::ofstream(log) << "one\n";
  at = lines_after(log, old, at.cursor).value();
  EXPECT_EQ(at.text, "one\n");
  std::ofstream(log, std::ios::app) << "two\nthr";
  at = lines_after(log, old, at.cursor).value();
  EXPECT_EQ(at.text, "two\nthr");
  std::ofstream(log, std::ios::app) << "ee\n";
  ASSERT_EQ(std::rename(log.c_str(), old.c_str()), 0);
  std::ofstream(log) << "four\n";
  at = lines_after(log, old, at.cursor).value();
  EXPECT_EQ(at.text, "ee\n");
  at = lines_after(log, old, at.cursor).value();
  EXPECT_EQ(at.text, "four\n");
  EXPECT_EQ(lines_after(log, old, at.cursor).value().text, "");
  EXPECT_EQ(lines_after(log, old, "nonsense").error().code, Code::kInternal);
}

}  // namespace
}  // namespace pgb::runtime
