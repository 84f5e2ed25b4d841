#include "control/node_json.h"

#include "control/node_numbers.h"
#include "control/text_of.h"

namespace pgb::control {
namespace {

using nlohmann::json;

json time_or_null(int64_t steady_ns) { return steady_ns == 0 ? json() : json(utc(at_steady(steady_ns))); }

double ms(uint64_t us) { return static_cast<double>(us) / 1000; }

json node_json(const NodeNumbers& node, uint64_t sessions, uint64_t timeline) {
  const proxy::NodeView& view = node.view;
  return {{"id", node.id},
          {"name", view.name},
          {"host", view.host},
          {"port", view.port},
          {"address", view.address()},
          {"role", proxy::to_string(view.role_now())},
          {"healthy", view.healthy},
          {"drained", view.gauge->drained.load()},
          {"last_error", view.last_error},
          {"weight", view.weight},
          {"share", node.share},
          {"timeline", timeline},
          {"behind_bytes", node.behind()},
          {"busy", view.gauge->busy.load()},
          {"servers", node.servers},
          {"sessions_total", sessions},
          {"requests", node.requests},
          {"latency_us", view.gauge->latency_us.load()},
          {"back_since", time_or_null(view.gauge->back_since_ns)}};
}

}  // namespace

json nodes_json(const Actions& actions) {
  const proxy::Admin& proxy = actions.proxy;
  const proxy::Stats stats = proxy.stats();
  const auto roles = actions.roles == nullptr ? std::nullopt : actions.roles->lately();
  json list = json::array();
  for (const NodeNumbers& node : node_numbers(proxy)) {
    const auto found = stats.nodes.find(node.view.name);
    const uint64_t sessions = found == stats.nodes.end() ? 0 : found->second.sessions_total;
    list.push_back(node_json(node, sessions, timeline_of(node.view, roles)));
  }
  return list;
}

json node_checks_json(const proxy::Admin& proxy) {
  json list = json::array();
  const proxy::TopologyPtr topology = proxy.topology();
  for (const proxy::NodeView& view : topology->nodes) {
    const proxy::ProbeCounts& probes = view.gauge->probes;
    const uint64_t good = probes.good, bad = probes.bad;
    list.push_back({{"id", list.size()},
                    {"name", view.name},
                    {"healthy", view.healthy},
                    {"total", good + bad},
                    {"good", good},
                    {"bad", bad},
                    {"average_ms", good > 0 ? ms(probes.sum_us) / static_cast<double>(good) : 0.0},
                    {"longest_ms", ms(probes.longest_us)},
                    {"shortest_ms", good > 0 ? ms(probes.shortest_us) : 0.0},
                    {"last_good", time_or_null(probes.last_good_ns)},
                    {"last_bad", time_or_null(probes.last_bad_ns)}});
  }
  return list;
}

}  // namespace pgb::control
