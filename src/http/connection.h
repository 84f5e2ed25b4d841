// Inside http only: serves the requests of one accepted connection, one after the other.
#pragma once

#include <atomic>

#include "http/server.h"

namespace pgb::http {

struct ServeLimits {
  uint32_t header_bytes = 16u << 10;
  uint64_t body_bytes = 1u << 20;
  int seconds = 10;  // for each request to come, and for each answer to go
};

struct ServeState {
  const std::atomic<bool>& stopping;  // it is to end
  std::atomic<int64_t>& waits_since;  // steady clock, ns: it waits for a request; 0: it works on one
};

// Takes the descriptor and closes it. Over TLS if there is a context. Returns when the peer is done, breaks a rule or
// is too slow, or, between two requests, when it is to stop (shutdown(2) for reading wakes it). Never throws.
void serve_connection(int fd, const Server::Handler& handler, ServeState state, const ServeLimits& limits,
                      const TlsContext& tls);

}  // namespace pgb::http
