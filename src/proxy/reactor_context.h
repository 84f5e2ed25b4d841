// What a session sees of the thread and the proxy it lives in.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "base/secret.h"
#include "net/event_loop.h"
#include "proxy/auth_directory.h"
#include "proxy/cancel_registry.h"
#include "proxy/counters.h"
#include "proxy/settings.h"
#include "proxy/topology_snapshot.h"

namespace pgb::proxy {

class Session;

// One for the proxy, thread-safe.
struct Shared {
  const Settings& settings;
  Counters& counters;
  CancelRegistry& cancels;
  AuthDirectory& auth;
  const Secret& mock_secret;  // makes the fake salts of unknown users
};

// One for each reactor, its thread's own.
struct ReactorContext {
  net::EventLoop& loop;
  Shared shared;
  TopologyPtr topology;
  std::array<char, 65536> scratch;
  std::function<Session*(uint64_t id)> find;  // null if it has ended
  std::function<void(uint64_t id)> ended;     // the session is destroyed soon, not at once
};

}  // namespace pgb::proxy
