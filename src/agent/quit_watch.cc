#include "agent/quit_watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"

namespace pgb::agent {

QuitWatch::QuitWatch(os::SignalFd& signals)
    : done_(eventfd(0, EFD_CLOEXEC)), thread_([this, &signals] {
        for (;;) {
          pollfd ready[] = {{signals.fd(), POLLIN, 0}, {done_.get(), POLLIN, 0}};
          poll(ready, 2, -1);
          if (ready[1].revents != 0) return;
          while (auto signal = signals.read()) {
            if (*signal == SIGCHLD) continue;
            log::info("stopping: the unfinished copy will be started over");
            _exit(0);
          }
        }
      }) {}

QuitWatch::~QuitWatch() {
  eventfd_write(done_.get(), 1);
  thread_.join();
}

}  // namespace pgb::agent
