#include "control/node_numbers.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "control/text_of.h"

namespace pgb::control {
namespace {

std::string time_of(int64_t steady_ns) { return steady_ns == 0 ? "" : utc(at_steady(steady_ns)); }

}  // namespace

std::vector<NodeNumbers> node_numbers(const proxy::Admin& proxy, const GroupRoles* roles) {
  std::vector<NodeNumbers> nodes = node_numbers(proxy, proxy.stats(), proxy.routes());
  const auto now = roles == nullptr ? std::nullopt : roles->lately();
  if (!now) return nodes;
  const auto& sync = now->sync_members;
  for (NodeNumbers& node : nodes) {
    for (const GroupRoles::Member& member : now->members) {
      if (member.name == node.view.name) node.streams = member.streaming;
    }
    node.sync_member = std::find(sync.begin(), sync.end(), node.view.name) != sync.end();
  }
  return nodes;
}

std::vector<NodeNumbers> node_numbers(const proxy::Admin& proxy, const proxy::Stats& stats,
                                      const std::vector<proxy::RouteRow>& routes) {
  std::map<std::string, uint64_t> requests;
  for (const proxy::RouteRow& row : routes) requests[row.node] += row.requests;
  std::vector<NodeNumbers> nodes;
  double weights = 0;
  const proxy::TopologyPtr topology = proxy.topology();
  for (const proxy::NodeView& view : topology->nodes) {
    NodeNumbers node;
    node.id = nodes.size();
    node.view = view;
    node.requests = requests[view.name];
    const auto found = stats.nodes.find(view.name);
    if (found != stats.nodes.end()) node.servers = found->second.servers;
    weights += view.weight;
    nodes.push_back(std::move(node));
  }
  for (NodeNumbers& node : nodes) node.share = weights > 0 ? node.view.weight / weights : 0;
  return nodes;
}

int NodeNumbers::status_code() const {
  constexpr int kUp = 2, kDown = 3;
  return takes_work() ? kUp : kDown;
}

std::string NodeNumbers::status() const { return takes_work() ? "up" : "down"; }

std::string NodeNumbers::role() const { return is_primary() ? "primary" : "standby"; }

std::string NodeNumbers::pg_role() const { return view.role_now() == proxy::NodeRole::kUnknown ? "unknown" : role(); }

std::string NodeNumbers::replication_state() const { return view.healthy && streams ? "streaming" : ""; }

std::string NodeNumbers::replication_sync_state() const {
  if (replication_state().empty()) return "";
  return sync_member ? "quorum" : "async";
}

uint64_t NodeNumbers::behind() const {
  return view.role == proxy::NodeRole::kReplica ? view.gauge->behind_bytes.load() : 0;
}

std::optional<double> NodeNumbers::behind_seconds() const {
  if (behind() == 0) return 0;
  const int64_t caught_up = view.gauge->caught_up_ns;
  if (caught_up == 0) return std::nullopt;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::max(0.0, std::chrono::duration<double>(now - std::chrono::nanoseconds(caught_up)).count());
}

std::string NodeNumbers::changed() const { return time_of(view.gauge->changed_ns); }

int64_t NodeNumbers::changed_at() const {
  const int64_t ns = view.gauge->changed_ns;
  return ns == 0 ? 0 : std::chrono::system_clock::to_time_t(at_steady(ns));
}

std::vector<std::string> NodeNumbers::health_check() const {
  const proxy::ProbeCounts& probes = view.gauge->probes;
  const uint64_t good = probes.good, bad = probes.bad;
  const auto ms = [](uint64_t us) { return std::to_string(us / 1000); };
  return {std::to_string(id),
          view.host,
          std::to_string(view.port),
          status(),
          role(),
          changed(),
          std::to_string(good + bad),
          std::to_string(good),
          std::to_string(bad),
          "0",
          "0",
          "0.000000",
          "0",
          ms(probes.longest_us),
          ms(good > 0 ? probes.shortest_us.load() : 0),
          fixed(good > 0 ? static_cast<double>(probes.sum_us) / static_cast<double>(good) / 1000 : 0, 6),
          time_of(std::max(probes.last_good_ns.load(), probes.last_bad_ns.load())),
          time_of(probes.last_good_ns),
          "",
          time_of(probes.last_bad_ns)};
}

uint64_t timeline_of(const proxy::NodeView& view, const std::optional<GroupRoles::Now>& roles) {
  if (!view.healthy) return 0;
  if (roles) {
    for (const GroupRoles::Member& member : roles->members) {
      if (member.name == view.name && member.timeline > 0) return member.timeline;
    }
  }
  return view.role == proxy::NodeRole::kPrimary ? view.timeline : 0;
}

}  // namespace pgb::control
