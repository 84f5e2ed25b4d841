// Stands in for the agent and the balancer in the runtime's tests: reads its configuration, says so, and waits
// for SIGTERM. Words in the configuration change that: "spawn-server" leaves a process named postgres in a
// session of its own that works in data/; "spawn-helper" one in our session; "ignore-term" does what it says; "large"
// takes memory, so that its end takes a moment.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

namespace {

void child(bool server) {
  int ready[2];
  if (::pipe(ready) != 0) return;
  if (::fork() == 0) {
    if (server) {
      ::setsid();
      ::prctl(PR_SET_NAME, "postgres");
      if (::chdir("data") != 0) ::_exit(1);
    }
    ::signal(SIGTERM, SIG_IGN);
    ::signal(SIGQUIT, SIG_IGN);
    [[maybe_unused]] ssize_t n = ::write(ready[1], "x", 1);
    for (;;) ::pause();
  }
  char byte;
  [[maybe_unused]] ssize_t n = ::read(ready[0], &byte, 1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || std::strcmp(argv[1], "--config") != 0) return 2;
  std::ifstream file(argv[2]);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", argv[2]);
    return 3;
  }
  std::string config{std::istreambuf_iterator<char>(file), {}};
  auto says = [&](const char* word) { return config.find(word) != std::string::npos; };
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &term, nullptr);
  if (says("spawn-server")) child(true);
  if (says("spawn-helper")) child(false);
  const std::string memory(says("large") ? size_t{512} << 20 : 0, 'x');
  std::printf("stub started\nstub ready\n");
  std::fflush(stdout);
  for (;;) {
    int signal = 0;
    ::sigwait(&term, &signal);
    if (!says("ignore-term")) return 0;
  }
}
