// For tests: two sockets that are connected to each other, and never wait.
#pragma once

#include <sys/socket.h>

#include <cstdlib>

#include "os/unique_fd.h"

namespace pgb::net {

struct SocketPair {
  os::UniqueFd near, far;
  SocketPair() {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) abort();
    near.reset(fds[0]);
    far.reset(fds[1]);
  }
};

}  // namespace pgb::net
