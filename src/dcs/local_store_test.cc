#include "dcs/local_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>

#include "dcs/embedded_store.h"
#include "dcs/etcd_for_tests.h"
#include "os/test_disk.h"

namespace pgb::dcs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::unique_ptr<LocalStore> opened(const std::string& directory) {
  auto store = LocalStore::open(directory);
  EXPECT_TRUE(store.ok()) << store.error().message;
  return store.ok() ? std::move(*store) : nullptr;
}

std::map<std::string, std::string> content(Dcs& store) {
  std::map<std::string, std::string> found;
  auto all = store.range({"/", true}, within(10));
  EXPECT_TRUE(all.ok());
  if (all.ok()) {
    for (const KeyValue& kv : all->kvs) found[kv.key] = kv.value;
  }
  return found;
}

std::string log_of(const os::TestDir& dir) { return dir.path + "/leases.log"; }

std::string bytes_of(const std::string& path) { return os::read_file(path).value(); }

void overwrite(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

TEST(LocalStore, KeepsKeysRevisionsAndLeasesOverARestart) {
  os::TestDir dir;
  Snapshot before;
  LeaseId lease = 0;
  {
    auto store = opened(dir.path);
    lease = store->grant(seconds(30), within(5))->id;
    const LeaseId revoked = store->grant(seconds(30), within(5))->id;
    ASSERT_TRUE(store->put("/leased", "1", lease, within(5)).ok());
    ASSERT_TRUE(store->put("/plain", "1", 0, within(5)).ok());
    ASSERT_TRUE(store->put("/plain", "2", 0, within(5)).ok());
    ASSERT_TRUE(store->put("/removed", "1", revoked, within(5)).ok());
    ASSERT_TRUE(store->revoke(revoked, within(5)).ok());
    before = *store->range({"/", true}, within(5));
  }
  auto store = opened(dir.path);
  const Snapshot after = *store->range({"/", true}, within(5));
  EXPECT_EQ(after.revision, before.revision);
  EXPECT_EQ(after.kvs, before.kvs);
  EXPECT_EQ(store->time_to_live(lease, within(5))->keys, std::vector<std::string>{"/leased"});
  EXPECT_GT(store->grant(seconds(30), within(5))->id, lease + 1) << "an id was given twice";
}

TEST(LocalStore, ALeaseHasItsFullTimeAgainAfterARestart) {
  os::TestDir dir;
  LeaseId lease = 0;
  {
    auto store = opened(dir.path);
    lease = store->grant(seconds(3), within(5))->id;
    const Deadline limit = within(10);
    while (store->time_to_live(lease, within(5))->remaining > seconds(1) && !limit.expired()) {
      std::this_thread::sleep_for(milliseconds(20));
    }
  }
  auto store = opened(dir.path);
  EXPECT_GE(store->time_to_live(lease, within(5))->remaining, seconds(2));
}

TEST(LocalStore, ATornTailIsCutOffAndNothingElse) {
  os::TestDir dir;
  { ASSERT_TRUE(opened(dir.path)->put("/a", "1", 0, within(5)).ok()); }
  const std::string whole = bytes_of(log_of(dir));
  { ASSERT_TRUE(opened(dir.path)->put("/b", "2", 0, within(5)).ok()); }
  const std::string longer = bytes_of(log_of(dir));
  ASSERT_GT(longer.size(), whole.size());
  for (size_t size = whole.size(); size < longer.size(); size += 5) {
    overwrite(log_of(dir), longer.substr(0, size));
    auto store = opened(dir.path);
    EXPECT_EQ(content(*store), (std::map<std::string, std::string>{{"/a", "1"}})) << size;
    EXPECT_EQ(bytes_of(log_of(dir)).size(), whole.size());
  }
  overwrite(log_of(dir), whole + std::string(longer.size() - whole.size(), '\0'));
  auto store = opened(dir.path);
  ASSERT_TRUE(store->put("/c", "3", 0, within(5)).ok());
  store.reset();
  EXPECT_EQ(content(*opened(dir.path)).count("/c"), 1u);
}

TEST(LocalStore, DamageBeforeGoodRecordsIsRefusedAndTheFileIsLeftAlone) {
  os::TestDir dir;
  {
    auto store = opened(dir.path);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(store->put("/a", std::to_string(i), 0, within(5)).ok());
  }
  std::string bytes = bytes_of(log_of(dir));
  bytes[40] = static_cast<char>(bytes[40] ^ 1);
  overwrite(log_of(dir), bytes);
  auto store = LocalStore::open(dir.path);
  ASSERT_FALSE(store.ok());
  EXPECT_NE(store.error().message.find("damaged"), std::string::npos) << store.error().message;
  EXPECT_EQ(bytes_of(log_of(dir)), bytes);
}

TEST(LocalStore, IsOpenedOnceAtATime) {
  os::TestDir dir;
  auto store = opened(dir.path);
  auto second = LocalStore::open(dir.path);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::kBusy) << second.error().message;
}

TEST(LocalStore, TheLogIsWrittenAnewBeforeItGrowsForEver) {
  os::TestDir dir;
  const std::string value(200000, 'v');
  {
    auto store = opened(dir.path);
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(store->put("/k", value + std::to_string(i), 0, within(5)).ok());
    EXPECT_LT(bytes_of(log_of(dir)).size(), 6u << 20);
  }
  auto store = opened(dir.path);
  EXPECT_EQ(content(*store)["/k"], value + "59");
  EXPECT_EQ(store->range({"/k", false}, within(5))->kvs.at(0).version, 60);
}

TEST(LocalStore, OldChangesAreForgottenAndAWatchIsTold) {
  auto store = LocalStore::in_memory();
  const std::string value(500000, 'v');
  const Revision first = *store->put("/k", value, 0, within(5));
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(store->put("/k", value, 0, within(5)).ok());
  const auto nothing = [](const Changes&) { return false; };
  const Status status = store->watch("/", first, within(5), nullptr, nothing);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kCompacted);
  EXPECT_TRUE(store->watch("/", store->revision(), within(5), nullptr, nothing).ok());
}

TEST(LocalStore, RunsOutOfLeasesByTheCallersClock) {
  auto now = std::chrono::steady_clock::time_point();
  auto store = LocalStore::in_memory([&] { return now; });
  const LeaseId lease = store->grant(seconds(3), within(5))->id;
  ASSERT_TRUE(store->put("/a", "1", lease, within(5)).ok());
  now += milliseconds(2999);
  EXPECT_TRUE(store->keep_alive(lease, within(5)).ok());
  now += milliseconds(2999);
  EXPECT_EQ(content(*store).size(), 1u);
  now += milliseconds(1);
  EXPECT_FALSE(store->keep_alive(lease, within(5)).ok());
  EXPECT_TRUE(content(*store).empty());
}

// Files may not grow beyond `bytes` while it lives.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = {bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;
  ~FileLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_ = {};
};

TEST(LocalStore, AWriteThatStopsHalfWayIsUndone) {
  os::TestDir dir;
  auto store = opened(dir.path);
  ASSERT_TRUE(store->put("/a", "1", 0, within(5)).ok());
  const Revision revision = store->revision();
  {
    const FileLimit limit(bytes_of(log_of(dir)).size() + 50);
    EXPECT_FALSE(store->put("/b", std::string(1000, 'x'), 0, within(5)).ok());
  }
  EXPECT_EQ(store->revision(), revision);
  EXPECT_EQ(content(*store).size(), 1u);
  ASSERT_TRUE(store->put("/c", "3", 0, within(5)).ok());
  store.reset();
  EXPECT_EQ(content(*opened(dir.path)), (std::map<std::string, std::string>{{"/a", "1"}, {"/c", "3"}}));
}

TEST(EmbeddedStore, AWriteThatTheLogCannotTakeIsNeitherInDoubtNorAFullDisk) {
  os::TestDir dir;
  EmbeddedSettings settings;
  settings.directory = dir.path;
  settings.port = 0;
  auto embedded = EmbeddedStore::start(settings);
  ASSERT_TRUE(embedded.ok()) << embedded.error().message;
  EtcdSettings to;
  to.endpoints = {"http://127.0.0.1:" + std::to_string((*embedded)->port())};
  auto store = client_of(to);
  {
    const FileLimit limit(bytes_of(log_of(dir)).size() + 50);
    auto put = store->put("/b", std::string(1000, 'x'), 0, Deadline::after(milliseconds(300)));
    ASSERT_FALSE(put.ok());
    EXPECT_EQ(put.error().code, Code::kNotReady) << put.error().message;
    EXPECT_EQ(outcome_of(put.error()), Outcome::kNotExecuted);
    EXPECT_NE(put.error().message.find(log_of(dir)), std::string::npos) << put.error().message;
  }
  EXPECT_TRUE(store->put("/b", "1", 0, within(5)).ok());
}

TEST(EmbeddedStore, AFullDiskIsAnErrorAndItGoesOnWhenThereIsRoom) {
  os::TestDisk disk("64k");
  if (!disk.mounted) GTEST_SKIP() << "a small file system can only be mounted by root";
  EmbeddedSettings settings;
  settings.directory = disk.dir.path + "/store";
  settings.port = 0;
  auto embedded = EmbeddedStore::start(settings);
  ASSERT_TRUE(embedded.ok()) << embedded.error().message;
  EtcdSettings to;
  to.endpoints = {"http://127.0.0.1:" + std::to_string((*embedded)->port())};
  auto store = client_of(to);
  const LeaseId lease = store->grant(seconds(60), within(5))->id;
  overwrite(disk.dir.path + "/ballast", std::string(40000, 'b'));
  Error error;
  int written = 0;
  for (; written < 100 && error.message.empty(); ++written) {
    auto done = store->put("/k" + std::to_string(written), std::string(1000, 'x'), 0, within(5));
    if (!done.ok()) error = done.error();
  }
  ASSERT_FALSE(error.message.empty());
  EXPECT_EQ(error.code, Code::kDiskFull) << error.message;
  EXPECT_EQ(outcome_of(error), Outcome::kRefused);
  EXPECT_TRUE(store->keep_alive(lease, within(5)).ok()) << "a full disk must not end leases";
  EXPECT_EQ(content(*store).size(), static_cast<size_t>(written - 1));
  ASSERT_EQ(::unlink((disk.dir.path + "/ballast").c_str()), 0);
  EXPECT_TRUE(store->put("/after", "1", 0, within(5)).ok());
}

// In a process that was started to be killed: serves the store of $PGB_TEST_STORE until then.
class ServeIfAsked : public ::testing::Environment {
 public:
  void SetUp() override {
    const char* directory = std::getenv("PGB_TEST_STORE");
    if (directory == nullptr) return;
    EmbeddedSettings settings;
    settings.directory = directory;
    settings.port = 0;
    auto store = EmbeddedStore::start(settings);
    if (!store.ok()) std::_Exit(1);
    const std::string port = std::to_string((*store)->port());
    if (!os::write_file_atomic(std::string(directory) + "/port", port, 0600).ok()) std::_Exit(1);
    for (;;) ::pause();
  }
};
[[maybe_unused]] const ::testing::Environment* const kServe = ::testing::AddGlobalTestEnvironment(new ServeIfAsked);

class Victim {
 public:
  explicit Victim(const std::string& directory) {
    os::SpawnOptions options;
    options.argv = {os::self_exe_dir() + "/dcs_test"};
    options.env = {"PGB_TEST_STORE=" + directory};
    options.pdeathsig = SIGKILL;
    ::unlink((directory + "/port").c_str());
    pid_ = os::spawn(options).value();
    const Deadline limit = within(20);
    while (!os::exists(directory + "/port") && !limit.expired()) std::this_thread::sleep_for(milliseconds(5));
    url = "http://127.0.0.1:" + bytes_of(directory + "/port");
  }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;
  ~Victim() { kill(); }
  void kill() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  std::string url;

 private:
  pid_t pid_ = -1;
};

TEST(EmbeddedStore, WhatWasAnsweredIsThereAfterAKill) {
  os::TestDir dir;
  std::map<std::string, int> acknowledged, attempted;
  for (int round = 0; round < 5; ++round) {
    Victim victim(dir.path);
    EtcdSettings settings;
    settings.endpoints = {victim.url};
    std::vector<std::thread> writers;
    std::mutex mutex;
    std::atomic<int> count{0};
    for (int i = 0; i < 3; ++i) {
      writers.emplace_back([&, i] {
        auto store = client_of(settings);
        const std::string key = "/" + std::to_string(i);
        for (int n = round * 100000 + 1;; ++n) {
          {
            const std::lock_guard lock(mutex);
            attempted[key] = n;
          }
          auto put = store->put(key, std::to_string(n), 0, Deadline::after(milliseconds(500)));
          if (!put.ok()) return;
          const std::lock_guard lock(mutex);
          acknowledged[key] = n;
          ++count;
        }
      });
    }
    const Deadline limit = within(20);
    while (count < 60 && !limit.expired()) std::this_thread::sleep_for(milliseconds(1));
    victim.kill();
    for (std::thread& writer : writers) writer.join();
    ASSERT_GE(count, 60);
    auto store = opened(dir.path);
    auto found = content(*store);
    for (const auto& [key, value] : acknowledged) {
      EXPECT_GE(std::stoi(found[key]), value) << key << " was lost";
      EXPECT_LE(std::stoi(found[key]), attempted[key]);
    }
  }
}

}  // namespace
}  // namespace pgb::dcs
