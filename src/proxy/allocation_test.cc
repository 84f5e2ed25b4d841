// The path of a message takes no memory from the heap once everything has been seen. The sanitizers have an operator
// new of their own, so that this is no test for them.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <utility>

#include "proxy/proxy_for_tests.h"

namespace {
std::atomic<uint64_t> allocations{0};
}  // namespace

// Not inlined: the compiler would see free(3) of what new gave.
[[gnu::noinline]] void* operator new(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace pgb::proxy {
namespace {

class AllocationTest : public ProxyTest, public testing::WithParamInterface<const char*> {
 protected:
  // pgbench, until end_load(), with a thread for each of eight clients: a thread waits for the client that prepares,
  // and would wait for ever where that one waits for a server which another of its clients has.
  void begin_load(const std::string& protocol) {
    const std::string script = postgres_->dir() + "/script.sql";
    ASSERT_TRUE(os::write_file_atomic(script, "SELECT 1;\nBEGIN;\nSELECT 2;\nCOMMIT;\n", 0644).ok());
    os::SpawnOptions options;
    options.argv = {newest_bin() + "/pgbench",
                    "-n",
                    "-M",
                    protocol,
                    "-c",
                    "8",
                    "-j",
                    "8",
                    "-T",
                    "60",
                    "-f",
                    script,
                    "-h",
                    "127.0.0.1",
                    "-p",
                    std::to_string(proxy_->port()),
                    "-U",
                    "alice",
                    "app"};
    options.env = {"PGPASSWORD=wonder'land", "PGSSLMODE=disable"};
    options.stderr_file = options.stdout_file = postgres_->dir() + "/pgbench";
    auto pid = os::spawn(options);
    ASSERT_TRUE(pid) << pid.error().message;
    pid_ = *pid;
  }
  // False: it had ended by itself.
  bool end_load() {
    int how = 0;
    ::kill(pid_, SIGINT);
    ::waitpid(std::exchange(pid_, 0), &how, 0);
    return WIFSIGNALED(how) && WTERMSIG(how) == SIGINT;
  }
  void TearDown() override {
    if (pid_ > 0) end_load();
  }
  bool does(uint64_t transactions) {
    const uint64_t goal = proxy_->stats().transactions + transactions;
    return reaches([&] { return proxy_->stats().transactions >= goal; });
  }

  pid_t pid_ = 0;
};

TEST_P(AllocationTest, AMessageTakesNoMemoryOnceAllHasBeenSeen) {
  Settings how = settings();
  how.threads = 1;         // a server that goes to another thread costs a message between them
  how.pool.pool_size = 4;  // clients wait for each other
  start(how, topology(postgres_->port()));
  begin_load(GetParam());
  ASSERT_TRUE(does(2000)) << proxy_->stats().transactions << " pins " << proxy_->stats().pins
                          << *os::read_file(postgres_->dir() + "/pgbench");
  // Meanwhile the catalogue is read, and the first of everything is seen: then there is a time without.
  uint64_t taken = 0, done = 0;
  for (int i = 0; i < 6 && (i == 0 || taken * 100 >= done); ++i) {
    const uint64_t transactions = proxy_->stats().transactions, before = allocations;
    std::this_thread::sleep_for(milliseconds(500));  // whoever looks on would need memory
    taken = allocations - before;
    done = proxy_->stats().transactions - transactions;
    EXPECT_GT(done, 200u);
  }
  EXPECT_LT(taken * 100, done) << taken << " in " << done << " transactions";
  EXPECT_TRUE(end_load()) << *os::read_file(postgres_->dir() + "/pgbench");
}

INSTANTIATE_TEST_SUITE_P(Protocols, AllocationTest, testing::Values("simple", "extended", "prepared"));

}  // namespace
}  // namespace pgb::proxy
#endif
