// Lets any thread end the loop's wait.
#pragma once

#include <sys/eventfd.h>

#include "os/unique_fd.h"

namespace pgb::agent {

class Wake {
 public:
  Wake() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  void ring() { eventfd_write(fd_.get(), 1); }
  void clear() {
    eventfd_t count = 0;
    eventfd_read(fd_.get(), &count);
  }
  int fd() const { return fd_.get(); }

 private:
  os::UniqueFd fd_;
};

}  // namespace pgb::agent
