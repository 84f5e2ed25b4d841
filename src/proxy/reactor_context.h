// What sessions, servers and pools see of the thread and the proxy they live in.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "net/event_loop.h"
#include "proxy/auth_directory.h"
#include "proxy/cancel_registry.h"
#include "proxy/console.h"
#include "proxy/counters.h"
#include "proxy/greetings.h"
#include "proxy/orders.h"
#include "proxy/parameter_set.h"
#include "proxy/prepared.h"
#include "proxy/quota.h"
#include "proxy/routes.h"
#include "proxy/settings.h"
#include "proxy/topology_snapshot.h"

namespace pgb::proxy {

class CatalogDirectory;
class Pools;
class Router;
class Server;
class Session;
struct ReactorContext;

// One for the proxy, thread-safe.
struct Shared {
  const Settings& settings;
  Counters& counters;
  CancelRegistry& cancels;
  AuthDirectory& auth;
  CurrentHba& hba;
  CurrentConsole& console;
  const Secret& mock_secret;  // makes the fake salts of unknown users
  ParameterSets& sets;
  Quotas& quotas;
  Greetings& greetings;
  Reasons& reasons;
  CatalogDirectory* catalogs;
  // Runs an action on the thread of another reactor.
  std::function<void(unsigned reactor, std::function<void(ReactorContext&)>)> on;
};

// One for each reactor, its thread's own (but stats, which any thread may read).
struct ReactorContext {
  ReactorContext(net::EventLoop& l, const Shared& s) : loop(l), shared(s) {}

  net::EventLoop& loop;
  const Shared& shared;
  unsigned index = 0;
  TopologyPtr topology;
  PoolSettings pool_settings;
  OrdersPtr orders = std::make_shared<const Orders>();
  bool keeping_back = false;  // orders->keep_back_any()
  ReactorStats stats;
  RouteCounts routes;
  PreparedStatements prepared;
  uint64_t unnamed_texts = 0;  // counts the texts of unnamed statements; starts at a number of its own on each thread
  std::string text, name;      // scratch for messages that are rewritten
  std::vector<std::string_view> names;  // scratch for those that are looked at
  Pools* pools = nullptr;
  Router* router = nullptr;
  std::array<char, 65536> scratch;
  std::function<Session*(uint64_t id)> find;  // null if it has ended
  std::function<void(const std::function<void(Session&)>&)> each_session;
  std::function<void(uint64_t id)> ended;             // the session is destroyed soon, not at once
  std::function<void(std::unique_ptr<Server>)> bury;  // likewise

  int64_t now_ns() const {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(loop.now().time_since_epoch()).count();
  }
};

}  // namespace pgb::proxy
