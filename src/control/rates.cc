#include "control/rates.h"

#include <algorithm>

namespace pgb::control {
namespace {

// How the reasons begin of all that a replica may answer, see sql/classify.cc and sql/decision.cc.
constexpr std::string_view kReads[] = {"it only reads", "the transaction is READ ONLY", "a comment asks for a replica"};

bool is_read(std::string_view reason) {
  return std::any_of(std::begin(kReads), std::end(kReads),
                     [&](std::string_view begin) { return reason.substr(0, begin.size()) == begin; });
}

uint64_t grown(uint64_t from, uint64_t to) { return to - std::min(from, to); }

proxy::Latency grown(const proxy::Latency& from, const proxy::Latency& to) {
  proxy::Latency out;
  for (size_t i = 0; i < out.counts.size(); ++i) out.counts[i] = grown(from.counts[i], to.counts[i]);
  return out;
}

double percentile(const proxy::Latency& latency, uint64_t total, double part) {
  const double rank = part * static_cast<double>(total);
  double below = 0;
  for (size_t i = 0; i < latency.counts.size(); ++i) {
    const double count = static_cast<double>(latency.counts[i]);
    if (below + count < rank || count == 0) {
      below += count;
      continue;
    }
    const double least = i == 0 ? 0 : proxy::Latency::kBounds[i - 1];
    if (i == proxy::Latency::kBounds.size()) return least / 1000;  // it has no upper bound
    return (least + (proxy::Latency::kBounds[i] - least) * (rank - below) / count) / 1000;
  }
  return 0;
}

}  // namespace

std::optional<Percentiles> percentiles_of(const proxy::Latency& latency) {
  uint64_t total = 0;
  for (const uint64_t count : latency.counts) total += count;
  if (total == 0) return std::nullopt;
  return Percentiles{percentile(latency, total, 0.5), percentile(latency, total, 0.95),
                     percentile(latency, total, 0.99)};
}

Look look_at(const proxy::Counted& counted) {
  Look look;
  look.at = counted.at;
  for (const proxy::TrafficRow& row : counted.traffic) {
    look.traffic += row.traffic;
    look.requests[{row.database, row.user}] += row.traffic.requests;
  }
  for (const proxy::RouteRow& row : counted.routes) {
    Look::Node& node = look.nodes[row.node];
    node.requests += row.requests;
    if (is_read(row.reason)) node.reads += row.requests;
  }
  for (const proxy::LatencyRow& row : counted.latencies) look.nodes[row.node].latency += row.latency;
  return look;
}

Rates rates_between(const Look& from, const Look& to) {
  Rates rates;
  rates.seconds = std::chrono::duration<double>(to.at - from.at).count();
  if (rates.seconds <= 0) return Rates();
  const auto rate = [&](uint64_t before, uint64_t after) {
    return static_cast<double>(grown(before, after)) / rates.seconds;
  };
  rates.transactions = rate(from.traffic.transactions, to.traffic.transactions);
  rates.requests = rate(from.traffic.requests, to.traffic.requests);
  rates.bytes_from_clients = rate(from.traffic.bytes_from_clients, to.traffic.bytes_from_clients);
  rates.bytes_to_clients = rate(from.traffic.bytes_to_clients, to.traffic.bytes_to_clients);
  rates.latency = percentiles_of(grown(from.traffic.latency, to.traffic.latency));
  for (const auto& [key, requests] : to.requests) {
    const auto before = from.requests.find(key);
    rates.pools[key] = rate(before == from.requests.end() ? 0 : before->second, requests);
  }
  for (const auto& [name, node] : to.nodes) {
    const auto found = from.nodes.find(name);
    const Look::Node before = found == from.nodes.end() ? Look::Node() : found->second;
    rates.nodes[name] = {rate(before.requests, node.requests), rate(before.reads, node.reads), 0,
                         percentiles_of(grown(before.latency, node.latency))};
    rates.reads += rates.nodes[name].reads;
  }
  for (auto& [name, node] : rates.nodes) node.read_share = rates.reads > 0 ? node.reads / rates.reads : 0;
  return rates;
}

}  // namespace pgb::control
