#include "cluster/status.h"

#include <cmath>

#include "cluster/commits_wait.h"
#include "cluster/group_store.h"
#include "cluster/parallel.h"
#include "cluster/probe.h"
#include "cluster/time_text.h"
#include "cluster/units.h"

namespace pgb::cluster {

using std::chrono::milliseconds;

namespace {

// Long enough for a busy machine to log in and answer, short enough that a silent node is no nuisance.
constexpr milliseconds kServerDeadline{800};
constexpr milliseconds kAgentDeadline{700};

// Everything that was asked about one node.
struct NodeEvidence {
  std::optional<runtime::UnitInfo> unit;
  Result<ServerFacts> server = Error(Code::kNotReady, "not asked");
  Result<api::AgentState> agent = Error(Code::kNotReady, "not asked");
};

bool runs(const NodeEvidence& evidence) {
  return evidence.unit && evidence.unit->state == runtime::UnitState::kRunning;
}

NodeEvidence ask_node(const model::Cluster& cluster, const Secrets& secrets, const UnitMap& units,
                      const model::Node& node) {
  NodeEvidence evidence;
  const auto unit = units.find(node.name);
  if (unit != units.end()) evidence.unit = unit->second;
  if (!runs(evidence)) return evidence;  // the runtime saw it stopped or absent: nobody is there to be asked
  in_parallel(2, [&](size_t which) {
    if (which == 0) {
      pgclient::ConnInfo info = server_conninfo(cluster, secrets, node.port);
      info.database = "postgres";
      evidence.server = probe_server(info, Deadline::after(kServerDeadline));
    } else {
      evidence.agent =
          api::agent_state(agent_address(cluster, secrets, *evidence.unit), Deadline::after(kAgentDeadline));
    }
  });
  return evidence;
}

std::string is_cut_off(const std::string& unit) {
  return "its container runs, but has been taken off the cluster's network; pgbalancer_cluster start " + unit +
         " connects it again";
}

// The server did not answer: say what the agent and the runtime know.
void explain_silence(const NodeEvidence& evidence, NodeStatus& status) {
  status.source = "runtime";
  if (!evidence.unit || evidence.unit->state == runtime::UnitState::kAbsent) {
    status.state = "absent";
    status.reason = "it does not exist; init makes it";
    return;
  }
  if (!runs(evidence)) {
    status.state = "stopped";
    status.reason = "its container or process does not run; start brings it back";
    return;
  }
  if (evidence.unit->cut_off) {
    status.state = "down";
    status.reason = is_cut_off(status.name);
    return;
  }
  const std::string& said = evidence.server.error().message;
  if (!evidence.agent.ok()) {
    status.state = "down";
    status.reason = said + "; " + evidence.agent.error().message;
    return;
  }
  status.source = "agent";
  status.role = evidence.agent->role;
  if (evidence.agent->phase != "running") {
    status.state = evidence.agent->phase == "failed" ? "down" : "starting";
    status.reason = evidence.agent->phase + ": " + evidence.agent->detail;
    return;
  }
  status.state = evidence.agent->postmaster_pid == 0 ? "down" : "unresponsive";
  status.reason = "the server runs but does not answer queries: " + said;
}

void describe_server(const ServerFacts& facts, NodeStatus& status) {
  status.source = "server";
  status.role = facts.in_recovery ? "replica" : "primary";
  status.version = facts.version;
  status.timeline = facts.timeline;
  status.flush_lsn = facts.flush_lsn;
  status.replay_lsn = facts.replay_lsn;
  status.uptime_s = facts.uptime_s;
  if (facts.in_recovery) return;
  status.state = "accepting";
}

// A replica streams when it receives, replays, and its primary says so too.
void describe_replica(const ServerFacts& facts, const ServerFacts* primary, NodeStatus& status) {
  status.slot = slot_name(status.name);
  status.lag_ms = std::round(facts.replay_age_ms * 10) / 10;
  status.state = "not_streaming";
  const Follower* seen = nullptr;
  if (primary != nullptr) {
    const auto slot = primary->slots.find(status.slot);
    status.slot_active = slot != primary->slots.end() && slot->second.slot_active;
    const auto follower = primary->followers.find(status.name);
    if (follower != primary->followers.end()) seen = &follower->second;
    if (seen != nullptr) status.lag_bytes = seen->lag_bytes;
    if (slot == primary->slots.end()) {
      status.reason = "its replication slot " + status.slot + " is not on the primary";
      return;
    }
    if (slot->second.wal_status == "lost") {
      status.reason = "its slot was lost: the primary no longer has the WAL it needs; it must be copied anew";
      return;
    }
  }
  if (!facts.receiving) {
    status.reason = primary == nullptr ? "there is no primary to stream from" : "it has no connection to the primary";
  } else if (primary != nullptr && (seen == nullptr || seen->state != "streaming")) {
    status.reason = seen == nullptr ? "the primary does not see it" : "the primary says: " + seen->state;
  } else if (facts.replay_paused) {
    status.reason = "it receives, but replay is paused: SELECT pg_wal_replay_resume() goes on";
  } else {
    status.state = "streaming";
  }
}

NodeStatus judge(const model::Node& node, const std::string& host, const NodeEvidence& evidence,
                 const ServerFacts* primary) {
  NodeStatus status;
  status.name = node.name;
  status.node_id = node.node_id;
  status.role = "-";
  status.address = host;
  status.port = node.port;
  if (!evidence.server.ok()) {
    explain_silence(evidence, status);
    return status;
  }
  describe_server(*evidence.server, status);
  if (evidence.server->in_recovery) describe_replica(*evidence.server, primary, status);
  if (evidence.unit->cut_off && !status.healthy()) status.reason = is_cut_off(status.name);
  return status;
}

void ask_balancer(const model::Cluster& cluster, const Secrets& secrets, const UnitMap& units,
                  const model::Balancer& balancer, BalancerStatus& status) {
  status.name = balancer.name;
  status.address = reachable_host(cluster);
  status.port = balancer.port;
  status.pcp_port = balancer.pcp_port;
  status.rest_api_port = balancer.rest_api_port;
  const auto unit = units.find(balancer.name);
  if (unit == units.end() || unit->second.state == runtime::UnitState::kAbsent) {
    status.state = "absent";
    status.reason = status.query_error = "it does not exist; init makes it";
    return;
  }
  if (unit->second.state != runtime::UnitState::kRunning) {
    status.state = "stopped";
    status.reason = status.query_error = "its container or process does not run; start brings it back";
    return;
  }
  auto query = probe_query(balancer_conninfo(cluster, secrets, balancer), Deadline::after(kServerDeadline));
  status.query_ok = query.ok();
  status.state = query.ok() ? "serving" : query.error().code == Code::kUnreachable ? "down" : "refusing";
  if (query.ok()) {
    status.query_ms = std::round(*query * 10) / 10;
  } else {
    status.query_error = query.error().message;
    status.reason =
        unit->second.cut_off ? is_cut_off(balancer.name) : "a query through it failed: " + status.query_error;
  }
}

// Whether the group's agents leave roles alone. Reads the lease store, which takes no other form of reading than POST.
void ask_store(const model::Cluster& cluster, const Secrets& secrets, const UnitMap& units,
               const model::Balancer& balancer, std::optional<BalancerStatus::Paused>& paused) {
  const auto unit = units.find(balancer.name);
  const bool runs = unit != units.end() && unit->second.state == runtime::UnitState::kRunning;
  if (!runs && cluster.dcs_etcd.empty()) return;  // it is gone with its balancer
  auto group = group_of(cluster, secrets, balancer, units);
  if (!group.ok()) return;
  const auto state = read_state(*group, Deadline::after(kServerDeadline));
  if (!state.ok()) return;
  paused.emplace();
  if (state->pause) paused = BalancerStatus::Paused{state->pause->since, state->pause->by};
}

// Asks a balancer and its servers, all at once.
BalancerStatus ask_group(const model::Cluster& cluster, const Secrets& secrets, const UnitMap& units,
                         const model::Balancer& balancer) {
  const std::vector<model::Node> nodes = balancer.nodes();
  std::vector<NodeEvidence> evidence(nodes.size());
  BalancerStatus status;
  std::optional<BalancerStatus::Paused> paused;
  in_parallel(nodes.size() + 2, [&](size_t i) {
    if (i == nodes.size() + 1) {
      ask_store(cluster, secrets, units, balancer, paused);
    } else if (i == nodes.size()) {
      ask_balancer(cluster, secrets, units, balancer, status);
    } else {
      evidence[i] = ask_node(cluster, secrets, units, nodes[i]);
    }
  });
  status.paused = std::move(paused);
  status.failover = cluster.ha.failover;
  const ServerFacts* primary = nullptr;
  for (const NodeEvidence& one : evidence) {
    if (one.server.ok() && !one.server->in_recovery) primary = &*one.server;
  }
  status.durability = primary == nullptr                           ? "unknown"
                      : primary->synchronous_standby_names.empty() ? "async"
                                                                   : primary->synchronous_standby_names;
  if (primary != nullptr) {
    status.commits_wait = commits_wait(primary->synchronous_standby_names, primary->followers);
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    status.nodes.push_back(judge(nodes[i], reachable_host(cluster), evidence[i], primary));
  }
  return status;
}

void judge_cluster(StatusDocument& document) {
  document.state = "healthy";
  for (const BalancerStatus& balancer : document.balancers) {
    bool primary = false;
    if (balancer.paused && !balancer.paused->since.empty()) {
      document.notes.push_back(balancer.name + " is PAUSED since " + balancer.paused->since + " by " +
                               balancer.paused->by +
                               ": nobody takes over, whatever happens; pgbalancer_cluster resume ends it");
    }
    if (!balancer.commits_wait.empty()) document.notes.push_back(balancer.name + ": " + balancer.commits_wait);
    if (balancer.state != "serving") document.notes.push_back(balancer.name + ": " + balancer.reason);
    for (const NodeStatus& node : balancer.nodes) {
      primary = primary || (node.role == "primary" && node.state == "accepting");
      if (!node.healthy()) document.notes.push_back(node.name + ": " + node.reason);
    }
    if (!primary) document.state = "no_primary";
  }
  if (document.state == "healthy" && !document.notes.empty()) document.state = "degraded";
}

}  // namespace

Status only_node(StatusDocument& document, const std::string& node) {
  if (document.state == "not_created") return {};
  const bool leaderless = document.state == "no_primary";
  std::vector<BalancerStatus> kept;
  std::string known;
  for (BalancerStatus& balancer : document.balancers) {
    std::vector<NodeStatus> nodes;
    for (const NodeStatus& one : balancer.nodes) {
      known += (known.empty() ? "" : ", ") + one.name;
      if (one.name == node || std::to_string(one.node_id) == node) nodes.push_back(one);
    }
    balancer.nodes = std::move(nodes);
    if (!balancer.nodes.empty()) kept.push_back(balancer);
  }
  if (kept.empty()) return Error(Code::kNoNode, "there is no node " + node).with("known", known);
  document.balancers = std::move(kept);
  document.notes.clear();
  document.state = "healthy";
  for (const BalancerStatus& balancer : document.balancers) {
    for (const NodeStatus& one : balancer.nodes) {
      if (one.healthy()) continue;
      document.notes.push_back(one.name + ": " + one.reason);
      if (leaderless && (one.node_id == 0 || one.role == "primary")) document.state = "no_primary";
      if (document.state == "healthy") document.state = "degraded";
    }
  }
  return {};
}

Result<StatusDocument> status(const Session& session) {
  const auto began = Deadline::Clock::now();
  StatusDocument document;
  document.cluster = session.wanted.cluster_name;
  document.runtime = model::to_string(session.runtime->kind());
  document.engine = session.runtime->describe();
  document.time = utc_now();
  auto units =
      existing_units(session, Deadline::after(milliseconds(2000)).sooner(session.options.deadline.remaining()));
  if (!units.ok()) return std::move(units).error();
  auto cluster = session.recorded();
  auto secrets = session.secrets(false);
  if (!cluster.ok() || !secrets.ok() || units->empty()) {
    document.state = "not_created";
    if (!units->empty()) document.notes.push_back("parts of it exist, but its record is gone: destroy removes them");
  } else {
    document.balancers.resize(cluster->balancers.size());
    in_parallel(cluster->balancers.size(), [&](size_t i) {
      document.balancers[i] = ask_group(*cluster, *secrets, *units, cluster->balancers[i]);
    });
    judge_cluster(document);
    if (const auto last = session.last_event()) {
      document.last_time = last->time;
      document.last_text = last->text;
    }
  }
  document.seconds = std::chrono::duration<double>(Deadline::Clock::now() - began).count();
  return document;
}

}  // namespace pgb::cluster
