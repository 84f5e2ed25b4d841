// The numbers of all threads, added up.
#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "proxy/proxy.h"

namespace pgb::proxy {

namespace {

std::vector<PoolRow> pools_of(const std::vector<Numbers>& parts) {
  std::map<std::tuple<std::string, std::string, std::string>, PoolRow> sums;
  for (const Numbers& of_thread : parts) {
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

// Most requests first.
template <class Row>
std::vector<Row> sorted(std::vector<Row> rows) {
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.requests > b.requests; });
  return rows;
}

std::vector<RouteRow> routes_of(const std::vector<Numbers>& parts) {
  std::map<std::pair<std::string, std::string>, uint64_t> sums;
  for (const Numbers& of_thread : parts) {
    for (const VerdictRow& part : of_thread.verdicts) sums[{part.node, part.reason}] += part.requests;
  }
  std::vector<RouteRow> rows;
  for (const auto& [key, requests] : sums) rows.push_back({key.first, key.second, requests});
  return sorted(std::move(rows));
}

std::vector<VerdictRow> verdicts_of(const std::vector<Numbers>& parts) {
  std::map<std::tuple<std::string, std::string, std::string>, uint64_t> sums;
  for (const Numbers& of_thread : parts) {
    for (const VerdictRow& part : of_thread.verdicts) sums[{part.verdict, part.node, part.reason}] += part.requests;
  }
  std::vector<VerdictRow> rows;
  for (const auto& [key, requests] : sums) {
    rows.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), requests});
  }
  return sorted(std::move(rows));
}

std::vector<TrafficRow> traffic_of(const std::vector<Numbers>& parts) {
  std::map<std::pair<std::string, std::string>, TrafficRow> sums;
  for (const Numbers& of_thread : parts) {
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

std::vector<LatencyRow> latencies_of(const std::vector<Numbers>& parts) {
  std::map<std::string, Latency> sums;
  for (const Numbers& of_thread : parts) {
    for (const LatencyRow& part : of_thread.latencies) sums[part.node] += part.latency;
  }
  std::vector<LatencyRow> rows;
  for (const auto& [node, latency] : sums) rows.push_back({node, latency});
  return rows;
}

}  // namespace

// One turn of each thread for all that is usually looked at.
NumbersBoard::SurveyPtr Proxy::numbers() const {
  auto survey = std::make_shared<Survey<Numbers>>(reactors_.size());
  uint64_t transactions = 0;
  for (const auto& reactor : reactors_) {
    transactions += reactor->stats().transactions;
    reactor->run([survey](ReactorContext& context) {
      std::vector<Numbers> all(1);
      Numbers& own = all.front();
      context.pools->each([&](const Pool& pool) { pool.list(own.pools); });
      context.routes.each([&](const std::string& node, ReasonId reason, Meaning meaning, uint64_t requests) {
        own.verdicts.push_back({to_string(meaning), node, context.shared.reasons.text(reason), requests});
      });
      context.pools->list(own.traffic);
      context.routes.each_latency([&](const std::string& node, const Latency& latency) {
        own.latencies.push_back({node, latency});
      });
      survey->add(std::move(all));
    });
  }
  return board_.await(survey, transactions);
}

Counted Proxy::counted() const {
  const NumbersBoard::SurveyPtr survey = numbers();
  const std::vector<Numbers> parts = survey->rows();
  return {survey->begun(),   pools_of(parts),     routes_of(parts),
          traffic_of(parts), latencies_of(parts), verdicts_of(parts)};
}

std::vector<PoolRow> Proxy::pools() const { return pools_of(numbers()->rows()); }
std::vector<RouteRow> Proxy::routes() const { return routes_of(numbers()->rows()); }
std::vector<VerdictRow> Proxy::verdicts() const { return verdicts_of(numbers()->rows()); }
std::vector<TrafficRow> Proxy::traffic() const { return traffic_of(numbers()->rows()); }
std::vector<LatencyRow> Proxy::latencies() const { return latencies_of(numbers()->rows()); }

}  // namespace pgb::proxy
