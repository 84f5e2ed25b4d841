// What is to be seen of the group at one moment, as values: behind /api/v1/snapshot, the stream of events, the page and
// its text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/event_log.h"
#include "control/group_roles.h"
#include "control/rates.h"
#include "proxy/admin.h"

namespace pgb::control {

struct LiveNode {
  std::string name, address;
  std::string role;       // "primary", "replica"; "unknown" also while it does not answer
  std::string last_role;  // what it said last, be it up or not
  // "up", "degraded" (its agent is gone, or a replica gets no log or is too far behind to get reads), "drained",
  // "down", "refused" (a primary beside the one), "unknown" (not asked yet)
  std::string state;
  std::string reason;  // why it is not "up", in one sentence; also what is wrong with a drained one
  double weight = 1;
  uint32_t timeline = 0;
  std::optional<uint64_t> behind_bytes;  // of a replica that is up
  std::optional<double> behind_s;        // age of the newest state that it is known to have
  bool takes_reads = false;              // the router sends reads there
  uint64_t servers = 0, busy = 0;        // connections to it, and those that work
  double probe_ms = 0;                   // mean time of an answer to the question how it is
  Rates::Node rates;
  std::optional<GroupRoles::Member> agent;  // what it published in the lease store
};

// Who gets whose log.
struct LiveLink {
  std::string from, to;
  std::string state;   // "streaming", "behind" (more than three seconds), "broken", "unknown"
  std::string source;  // "agent": its node says so; "positions": it follows from how far the logs have got
};

struct LiveView {
  std::string time;  // RFC 3339, UTC
  std::string group;
  std::string cluster;  // of which it is a part; empty: of none that is known
  double uptime_s = 0;
  std::string state;                     // "healthy", "degraded", "no_primary"
  std::string sentence;                  // what is wrong, and what comes of it; empty: nothing is
  std::optional<GroupRoles::Now> roles;  // without: no lease store is kept here
  bool paused = false, shutting_down = false;
  bool writes_wait = false;  // no primary takes any
  std::vector<std::string> paused_databases;
  uint64_t clients = 0, max_clients = 0, refused_total = 0;
  uint64_t waiting = 0;
  double longest_wait_s = 0;
  uint64_t servers_in_use = 0, servers_open = 0, pool_size = 0;  // pool_size: of one database, user and node
  std::vector<proxy::TrafficRow> pools;                          // the busiest first, kMostPools at most
  std::vector<proxy::RouteRow> routes;                           // most requests first, kMostRoutes at most
  Rates rates;
  std::vector<LiveNode> nodes;
  std::vector<LiveLink> links;

  static constexpr size_t kMostPools = 100, kMostRoutes = 60;
};

// What is older says nothing of how things are.
inline constexpr double kOld_s = 3;

// `counted`: as the proxy told it for this look.
LiveView live_view(const proxy::Admin& proxy, const std::string& group, proxy::Counted counted, Rates rates,
                   std::optional<GroupRoles::Now> roles);
// The state was seen that long ago: nobody knows how anything is now.
void call_unknown(LiveView& view, double age_s);
// What a commit waits for; empty: that is not known.
std::string durability_sentence(const GroupRoles::Now& roles);
// As two columns of figures and a line a node, 80 columns wide, for terminals and where there is no JavaScript.
std::string live_text(const LiveView& view, const std::vector<LiveEvent>& events);

}  // namespace pgb::control
