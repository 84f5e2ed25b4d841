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

// Whom a connection keeps waiting, for the server to see.
struct Waiting {
  std::atomic<int64_t> since{0};     // steady clock, ns: it waits for a whole request; 0: it works on one
  std::atomic<bool> between{false};  // it has answered one, and nothing of the next has come
};

struct ServeState {
  const std::atomic<bool>& stopping;  // it is to end
  Waiting& waiting;
};

// Takes the descriptor and closes it. Over TLS if there is a context. Returns when the peer is done, breaks a rule or
// is too slow, or, between two requests, when it is to stop (shutdown(2) for reading wakes it). Never throws.
void serve_connection(int fd, const Server::Handler& handler, ServeState state, const ServeLimits& limits,
                      const TlsContext& tls);

}  // namespace pgb::http
