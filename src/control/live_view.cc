#include "control/live_view.h"

#include <algorithm>
#include <cmath>

#include "base/strings.h"
#include "control/node_numbers.h"
#include "control/text_of.h"
#include "proxy/read_eligibility.h"

namespace pgb::control {
namespace {

constexpr double kFarBehind_s = 3;  // on an idle primary it takes two until it is known that there is nothing to get

std::string state_of(const proxy::NodeView& node) {
  if (node.refused) return "refused";
  if (node.healthy) return node.gauge->drained ? "drained" : "up";
  return node.last_error.empty() ? "unknown" : "down";
}

LiveNode live_node(const NodeNumbers& numbers, const Rates& rates, const std::optional<GroupRoles::Now>& roles) {
  const proxy::NodeView& view = numbers.view;
  LiveNode node;
  node.name = view.name;
  node.address = view.address();
  node.role = proxy::to_string(view.role_now());
  node.last_role = proxy::to_string(view.role);
  node.state = state_of(view);
  if (!view.healthy) node.reason = view.last_error;
  node.weight = view.weight;
  node.timeline = view.timeline;
  if (view.healthy && view.role == proxy::NodeRole::kReplica) {
    node.behind_bytes = numbers.behind();
    node.behind_s = numbers.behind_seconds();
  }
  node.servers = numbers.servers;
  node.busy = view.gauge->busy;
  const uint64_t good = view.gauge->probes.good;
  if (good > 0) node.probe_ms = static_cast<double>(view.gauge->probes.sum_us) / static_cast<double>(good) / 1000;
  if (const auto found = rates.nodes.find(view.name); found != rates.nodes.end()) node.rates = found->second;
  if (roles) {
    for (const GroupRoles::Member& member : roles->members) {
      if (member.name == view.name) node.agent = member;
    }
  }
  return node;
}

bool is_up(const LiveNode& node) { return node.state == "up" || node.state == "degraded" || node.state == "drained"; }

LiveLink link_to(const LiveNode& node, const LiveNode* primary) {
  const bool up = is_up(node);
  if (node.agent && !node.agent->follows.value_or("").empty()) {
    return {*node.agent->follows, node.name, up && node.agent->streaming ? "streaming" : "broken", "agent"};
  }
  if (!up) return {primary == nullptr ? "" : primary->name, node.name, "broken", "positions"};
  if (primary == nullptr) return {"", node.name, "unknown", "positions"};
  if (!is_up(*primary)) return {primary->name, node.name, "unknown", "positions"};
  const bool far = !node.behind_s || *node.behind_s > kFarBehind_s;
  return {primary->name, node.name, far ? "behind" : "streaming", "positions"};
}

std::vector<LiveLink> links_of(const LiveView& view) {
  const LiveNode* primary = nullptr;
  for (const LiveNode& node : view.nodes) {
    if (node.last_role == "primary" && (primary == nullptr || is_up(node))) primary = &node;
  }
  std::vector<LiveLink> links;
  for (const LiveNode& node : view.nodes) {
    if (node.last_role == "primary") continue;
    LiveLink link = link_to(node, primary);
    if (!link.from.empty() && link.from != link.to) links.push_back(std::move(link));
  }
  return links;
}

// Why the router gives no reads to a replica that answers, in so far as that is its lag; empty: it is not.
std::string why_too_far(const LiveNode& node, const proxy::PoolSettings& settings) {
  const double limit_s = std::chrono::duration<double>(settings.max_replica_lag).count();
  const std::string bytes = std::to_string(node.behind_bytes.value_or(0)) + " bytes behind";
  if (limit_s > 0 && !node.behind_s) return "it has yet to catch up, " + bytes + ", and gets no reads before";
  if (limit_s > 0 && *node.behind_s > limit_s) {
    return "it is " + fixed(*node.behind_s, 0) + " s behind, more than max_replica_lag (" +
           fixed(limit_s, limit_s < 10 ? 1 : 0) + " s), and gets no reads";
  }
  const uint64_t limit = settings.max_replica_lag_bytes;
  if (limit == 0 || node.behind_bytes.value_or(0) <= limit) return "";
  return "it is " + bytes + ", more than max_replica_lag_bytes (" + std::to_string(limit) + "), and gets no reads";
}

// What is wrong with replicas that answer. While nobody is the primary none has anything to get.
void look_at_replicas(LiveView& view, const proxy::PoolSettings& settings) {
  const auto leads = [](const LiveNode& node) { return node.role == "primary" && is_up(node); };
  if (std::none_of(view.nodes.begin(), view.nodes.end(), leads)) return;
  for (LiveNode& node : view.nodes) {
    if (!is_up(node) || node.role != "replica") continue;
    for (const LiveLink& link : view.links) {
      if (link.to == node.name && link.state == "broken") node.reason = "it gets no log from " + link.from;
    }
    const std::string far = why_too_far(node, settings);
    if (!far.empty()) node.reason += (node.reason.empty() ? "" : "; ") + far;
    if (!node.reason.empty() && node.state == "up") node.state = "degraded";
  }
}

// An agent that is gone, or what one does about a server that does not answer.
void look_at_agents(LiveView& view) {
  for (LiveNode& node : view.nodes) {
    if (!node.agent) continue;
    std::string said;
    if (node.agent->silent()) {
      said = "its agent has said nothing for " + fixed(node.agent->age_s, 0) + " s";
      said += is_up(node) ? " and takes no part in a failover" : "";
      if (node.state == "up") node.state = "degraded";
    } else if (node.state == "down" && !node.agent->sentence.empty()) {
      said = "its agent: " + node.agent->sentence;
    }
    if (!said.empty()) node.reason += (node.reason.empty() ? "" : "; ") + said;
  }
}

// What comes of it that there is no primary: for reads, for all other work, and who does something about it.
std::string without_primary(const LiveView& view, const proxy::PoolSettings& settings) {
  const bool reads = std::any_of(view.nodes.begin(), view.nodes.end(),
                                 [](const LiveNode& node) { return node.role == "replica" && node.takes_reads; });
  const auto limit = std::chrono::duration<double>(settings.primary_wait_timeout).count();
  std::string text = "No server can be written to. ";
  text += reads ? "Reads go on at replicas; other work waits" : "No replica can be read from, either; all work waits";
  if (limit > 0) text += " up to " + fixed(limit, limit < 10 && limit != std::floor(limit) ? 1 : 0) + " s";
  if (!view.roles) return text + "; nobody here chooses another one";
  if (view.roles->paused) return text + "; failover is paused, so no server takes over by itself";
  const auto& members = view.roles->members;
  const bool speaks = std::any_of(members.begin(), members.end(), [](const auto& member) { return !member.silent(); });
  return text + (speaks ? ", while the agents choose a new primary"
                        : "; no agent speaks any more, so nobody chooses a new primary until some are started again");
}

// What comes of anything else that is wrong.
std::string with_primary(const LiveView& view) {
  const std::string waits = view.roles ? view.roles->commits_wait() : "";
  return (waits.empty() ? "Writes go on" : "Writes hang: " + waits) + "; reads go to the servers that are up";
}

void judge(LiveView& view, const proxy::PoolSettings& settings) {
  std::vector<std::string> wrong;
  bool primary = false;
  std::string drained;  // a primary that takes no work
  for (const LiveNode& node : view.nodes) {
    const bool up = is_up(node);
    primary = primary || (node.role == "primary" && up);
    if (node.role == "primary" && node.state == "drained") drained = node.name;
    if (!up || !node.reason.empty())
      wrong.push_back(node.name + " is " + (node.state == "unknown" ? "not known yet" : node.state) +
                      (node.reason.empty() ? "" : ": " + node.reason));
  }
  view.writes_wait = !primary || !drained.empty();
  const bool hang = primary && view.roles && !view.roles->commits_wait().empty();
  const bool whole = wrong.empty() && drained.empty() && !hang && !(view.roles && view.roles->paused);
  view.state = !primary ? "no_primary" : whole ? "healthy" : "degraded";
  if (!primary) {
    wrong.insert(wrong.begin(), without_primary(view, settings));
  } else if (!drained.empty()) {
    wrong.insert(wrong.begin(), drained + ", the primary, is drained: writes wait until it is attached again");
  } else if (hang || (!wrong.empty() && !view.paused)) {
    wrong.insert(wrong.begin(), with_primary(view));
  }
  if (primary && view.roles && view.roles->paused) {
    wrong.emplace_back("Failover is paused: no server takes over by itself until somebody resumes it");
  }
  if (view.paused) wrong.insert(wrong.begin(), "All databases are paused: new work waits until somebody resumes them");
  for (const std::string& database : view.paused_databases) wrong.push_back("The database " + database + " is paused");
  if (view.shutting_down) wrong.insert(wrong.begin(), "The balancer ends: sessions go after their transaction");
  for (const std::string& part : wrong) {
    const bool ended = part.back() == '.' || part.back() == '?';
    view.sentence += (view.sentence.empty() ? "" : " ") + part + (ended ? "" : ".");
  }
}

// Clients that are kept back, by a pause or because there is no primary, stand in no pool's queue. Each is asked for
// then, and only then: there may be thousands.
void count_kept_back(LiveView& view, const proxy::Admin& proxy) {
  if (!view.paused && view.paused_databases.empty() && !view.writes_wait) return;
  uint64_t waiting = 0;
  for (const proxy::ClientRow& row : proxy.clients()) {
    if (row.state != "waiting" && row.state != "paused") continue;
    ++waiting;
    view.longest_wait_s = std::max(view.longest_wait_s, row.waiting_s);
  }
  view.waiting = std::max(view.waiting, waiting);
}

}  // namespace

void call_unknown(LiveView& view, double age_s) {
  const std::string why = "no news for " + fixed(age_s, 0) + " s";
  view.state = "unknown";
  view.sentence = "The balancer has not looked at the group for " + fixed(age_s, 0) + " s: what follows is old.";
  for (LiveNode& node : view.nodes) {
    node.state = "unknown";
    node.reason = why;
  }
  for (LiveLink& link : view.links) link.state = "unknown";
}

std::string durability_sentence(const GroupRoles::Now& roles) {
  if (roles.durability.empty()) return "";
  if (roles.durability == "async") return "A commit waits for no replica: what the primary has alone is lost with it.";
  const std::string& recorded = roles.sync_leader.empty() ? roles.leader : roles.sync_leader;
  const std::string leader = recorded.empty() ? "the primary" : recorded;
  if (roles.sync_required == 0) return "No replica has what is committed now: " + leader + " is alone.";
  const std::string where =
      leader + " and on " + std::to_string(roles.sync_required) + " of " + join(roles.sync_members, ", ");
  if (roles.leader.empty() || recorded == roles.leader)
    return "Each commit is on " + where + " before it is acknowledged.";
  return "Each commit was on " + where + " before it was acknowledged; " + roles.leader +
         ", which leads now, has yet to record who has its own.";
}

LiveView live_view(const proxy::Admin& proxy, const std::string& group, proxy::Counted counted, Rates rates,
                   std::optional<GroupRoles::Now> roles) {
  LiveView view;
  const proxy::Stats stats = proxy.stats();
  const proxy::OrdersPtr orders = proxy.orders();
  const proxy::PoolSettings settings = proxy.pool_settings();
  view.time = utc_millis(std::chrono::system_clock::now());
  view.group = group;
  view.uptime_s = stats.uptime_s;
  view.roles = std::move(roles);
  view.paused = orders->paused;
  view.shutting_down = orders->finishing;
  view.paused_databases.assign(orders->paused_databases.begin(), orders->paused_databases.end());
  view.clients = stats.clients;
  view.max_clients = stats.max_clients;
  view.refused_total = stats.refused_total;
  view.pool_size = settings.pool_size;
  view.rates = std::move(rates);
  for (proxy::TrafficRow& row : counted.traffic) {
    view.waiting += row.waiting;
    view.longest_wait_s = std::max(view.longest_wait_s, row.longest_wait_s);
    view.servers_in_use += row.active + row.bound;
    view.servers_open += row.active + row.bound + row.idle + row.connecting;
    if (!row.user.empty()) view.pools.push_back(std::move(row));
  }
  std::sort(view.pools.begin(), view.pools.end(),
            [](const auto& a, const auto& b) { return a.traffic.requests > b.traffic.requests; });
  if (view.pools.size() > LiveView::kMostPools) view.pools.resize(LiveView::kMostPools);
  const std::vector<NodeNumbers> nodes = node_numbers(proxy, stats, counted.routes);
  view.routes = std::move(counted.routes);
  if (view.routes.size() > LiveView::kMostRoutes) view.routes.resize(LiveView::kMostRoutes);
  const bool has_primary = proxy.topology()->primary() != nullptr;
  const auto now_ns = std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  for (const NodeNumbers& node : nodes) {
    view.nodes.push_back(live_node(node, view.rates, view.roles));
    view.nodes.back().takes_reads =
        settings.read_write_split && proxy::takes_reads(node.view, settings, has_primary, now_ns);
  }
  view.links = links_of(view);
  look_at_replicas(view, settings);
  look_at_agents(view);
  judge(view, settings);
  count_kept_back(view, proxy);
  return view;
}

}  // namespace pgb::control
