#include "os/turn.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace pgb::os {
namespace {

constexpr int kNice = -5;
constexpr uint64_t kSlice_ns = 100'000;  // the shortest that there is, see sched(7)

struct Attributes {  // of sched_setattr(2), for which there is no header
  uint32_t size = sizeof(Attributes);
  uint32_t policy = SCHED_OTHER;
  uint64_t flags = 1;  // SCHED_FLAG_RESET_ON_FORK: threads that it starts are like others
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = kSlice_ns;
  uint64_t deadline = 0, period = 0;
};

}  // namespace

void take_turns_soon() {
  const auto self = static_cast<id_t>(::syscall(SYS_gettid));
  ::setpriority(PRIO_PROCESS, self, kNice);
  Attributes wanted;
  wanted.nice = ::getpriority(PRIO_PROCESS, self);  // what it is now, whoever refused what
  ::syscall(SYS_sched_setattr, 0, &wanted, 0);
}

}  // namespace pgb::os
