// Inside http only: serves the requests of one accepted connection, one after the other.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "http/server.h"

namespace pgb::http {

struct ServeLimits {
  uint32_t header_bytes = 16u << 10;
  uint64_t body_bytes = 1u << 20;
  int seconds = 10;  // for each request to come, and for each answer to go
};

// Whom a connection keeps waiting, for the server to see. It is sent away while it waits or works on a request, never
// both: of the two threads one comes first.
class Waiting {
 public:
  static constexpr int64_t kWorks = 0;

  // The connection's thread: it waits for a whole request from then on (steady clock, ns), or works on one. False: it
  // has been sent away, and is to do nothing more.
  bool note(int64_t since) {
    int64_t was = since_;
    while (was != kSentAway && !since_.compare_exchange_weak(was, since)) {
    }
    return was != kSentAway;
  }
  // It has answered a request, and nothing of the next has come.
  void note_between(bool between) { between_ = between; }
  // Somebody who is known speaks there.
  void note_known() { known_ = true; }

  // The server: what was noted last; it neither waits nor works any more once it is sent away.
  std::optional<int64_t> since() const {
    const int64_t since = since_;
    return since == kSentAway || since == kWorks ? std::nullopt : std::optional(since);
  }
  bool between() const { return between_; }
  bool known() const { return known_; }
  // False: it has noted something else than `since` meanwhile, and stays.
  bool send_away(int64_t since) { return since_.compare_exchange_strong(since, kSentAway); }

 private:
  static constexpr int64_t kSentAway = -1;
  std::atomic<int64_t> since_{kWorks};
  std::atomic<bool> between_{false};
  std::atomic<bool> known_{false};
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
