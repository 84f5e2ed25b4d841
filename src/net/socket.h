// Non-blocking TCP sockets, listening and connecting. All of them close on exec.
#pragma once

#include "base/result.h"
#include "net/address.h"
#include "os/unique_fd.h"

namespace pgb::net {

// A listening socket with SO_REUSEPORT, so that each reactor has its own; port 0 takes a free one.
// kPortInUse if the port is held by a process without SO_REUSEPORT or of another user; else kIo.
Result<os::UniqueFd> listen_on(const Address& address);

// Fails with kPortInUse if anybody listens at the address already, even with SO_REUSEPORT (two
// balancers of one user would otherwise share their clients silently).
Status check_port_free(const Address& address);

// The next waiting client, non-blocking, TCP_NODELAY, keep-alive; an invalid one if there is none.
os::UniqueFd accept_one(int listener);
// Whether the last accept_one failed for want of descriptors or memory: wait before trying again.
bool accept_exhausted();

// Starts to connect; the socket gets writable when that is decided, then ask connect_result.
// kUnreachable if it fails at once.
Result<os::UniqueFd> start_connect(const Address& address);
Status connect_result(int fd, const Address& address);

// Bytes that were written to the socket and that the peer's kernel has not confirmed. It stays as it was when the
// connection ends. 0 where the kernel cannot say. Source: tcp(7), SIOCOUTQ.
size_t unconfirmed(int fd);

}  // namespace pgb::net
