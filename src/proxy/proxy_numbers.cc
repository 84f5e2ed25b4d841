// The numbers of all threads, added up.
#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "proxy/proxy.h"

namespace pgb::proxy {

// One turn of each thread for all that is usually looked at.
std::vector<Numbers> Proxy::numbers() const {
  auto survey = std::make_shared<Survey<Numbers>>(reactors_.size());
  uint64_t transactions = 0;
  for (const auto& reactor : reactors_) {
    transactions += reactor->stats().transactions;
    reactor->run([survey](ReactorContext& context) {
      std::vector<Numbers> all(1);
      Numbers& own = all.front();
      context.pools->each([&](const Pool& pool) { pool.list(own.pools); });
      context.routes.each([&](const std::string& node, ReasonId reason, uint64_t requests) {
        own.routes.push_back({node, context.shared.reasons.text(reason), requests});
      });
      context.pools->list(own.traffic);
      context.routes.each_latency([&](const std::string& node, const Latency& latency) {
        own.latencies.push_back({node, latency});
      });
      survey->add(std::move(all));
    });
  }
  return board_.await(survey, transactions)->rows();
}

std::vector<PoolRow> Proxy::pools() const {
  std::map<std::tuple<std::string, std::string, std::string>, PoolRow> sums;
  for (const Numbers& of_thread : numbers()) {
    for (const PoolRow& part : of_thread.pools) {
      PoolRow& sum = sums[{part.database, part.user, part.node}];
      sum.database = part.database;
      sum.user = part.user;
      sum.node = part.node;
      sum.active += part.active;
      sum.bound += part.bound;
      sum.idle += part.idle;
      sum.connecting += part.connecting;
      sum.waiting += part.waiting;
      sum.longest_wait_s = std::max(sum.longest_wait_s, part.longest_wait_s);
    }
  }
  std::vector<PoolRow> rows;
  for (auto& [key, sum] : sums) rows.push_back(std::move(sum));
  return rows;
}

std::vector<RouteRow> Proxy::routes() const {
  std::map<std::pair<std::string, std::string>, uint64_t> sums;
  for (const Numbers& of_thread : numbers()) {
    for (const RouteRow& part : of_thread.routes) sums[{part.node, part.reason}] += part.requests;
  }
  std::vector<RouteRow> rows;
  for (const auto& [key, requests] : sums) rows.push_back({key.first, key.second, requests});
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.requests > b.requests; });
  return rows;
}

std::vector<TrafficRow> Proxy::traffic() const {
  std::map<std::pair<std::string, std::string>, TrafficRow> sums;
  for (const Numbers& of_thread : numbers()) {
    for (const TrafficRow& part : of_thread.traffic) {
      TrafficRow& sum = sums[{part.database, part.user}];
      sum.database = part.database;
      sum.user = part.user;
      sum.add(part);
    }
  }
  std::vector<TrafficRow> rows;
  for (auto& [key, sum] : sums) rows.push_back(std::move(sum));
  return rows;
}

std::vector<LatencyRow> Proxy::latencies() const {
  std::map<std::string, Latency> sums;
  for (const Numbers& of_thread : numbers()) {
    for (const LatencyRow& part : of_thread.latencies) sums[part.node] += part.latency;
  }
  std::vector<LatencyRow> rows;
  for (const auto& [node, latency] : sums) rows.push_back({node, latency});
  return rows;
}

}  // namespace pgb::proxy
