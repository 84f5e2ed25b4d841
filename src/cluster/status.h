// The truth about a cluster, asked at this moment from servers, agents, balancers and the runtime;
// nothing is taken from the file but what to ask. Writes nothing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cluster/session.h"

namespace pgb::cluster {

struct NodeStatus {
  std::string name;
  int node_id = 0;
  std::string role;    // "primary", "replica" as the server says; "-" if nobody could say
  std::string state;   // accepting, streaming, not_streaming, starting, unresponsive, stopped, down, absent
  std::string reason;  // for every state but accepting and streaming: one sentence
  std::string address;
  uint16_t port = 0;
  std::string version;  // "17.6"
  int timeline = 0;
  std::string flush_lsn;             // the primary's write position, the replica's received one
  std::string replay_lsn;            // replicas
  std::optional<int64_t> lag_bytes;  // by the primary's position
  std::optional<double> lag_ms;      // by the replica's last replayed transaction; 0 when it has all
  std::string slot;
  bool slot_active = false;
  int64_t uptime_s = -1;
  std::string source;  // "server", "agent", "runtime"
  double age_s = 0;    // age of the observation

  bool healthy() const { return state == "accepting" || state == "streaming"; }
};

struct BalancerStatus {
  std::string name;
  std::string state;  // serving, refusing, stopped, down, absent
  std::string reason;
  std::string address;
  uint16_t port = 0, pcp_port = 0, rest_api_port = 0;
  bool query_ok = false;  // a query went through it just now
  double query_ms = 0;
  std::string query_error;
  std::string durability;    // what the primary's synchronous_standby_names says now: "async" or its text
  std::string commits_wait;  // why no commit is acknowledged, and what to do; empty: they are
  bool failover = true;      // the agents choose the primary; else roles are those of the file
  // Nothing if its agents do not choose the primary, or the lease store does not say; no time: it is not paused.
  struct Paused {
    std::string since;  // RFC 3339 UTC
    std::string by;
  };
  std::optional<Paused> paused;
  std::vector<NodeStatus> nodes;
};

struct StatusDocument {
  std::string cluster;
  std::string state;               // healthy, degraded, no_primary, not_created
  std::string runtime;             // docker, process
  std::string engine;              // "docker 28.2 (unix:///var/run/docker.sock)"
  std::string time;                // RFC 3339 UTC
  double seconds = 0;              // how long asking took
  std::vector<std::string> notes;  // what is wrong and what to do, one sentence each
  std::vector<BalancerStatus> balancers;
  std::string last_time, last_text;  // the newest event; empty if there is none
};

// Asks everything in parallel under one deadline (default 2 s; a silent node costs 300 ms).
Result<StatusDocument> status(const Session& session);

// Keeps of the document only this node, by name or id, and judges by it alone: no_primary if it is the file's primary
// and does not accept, degraded if it is another and not healthy. kNoNode; a cluster that was not made is left as it
// is.
Status only_node(StatusDocument& document, const std::string& node);

// The document as JSON, as documented in docs/status.md.
std::string to_json(const StatusDocument& document);

}  // namespace pgb::cluster
