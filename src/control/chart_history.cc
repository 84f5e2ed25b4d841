#include "control/chart_history.h"

#include <algorithm>

namespace pgb::control {

void ChartHistory::add(const LiveView& view, int64_t at_ms) {
  Point point;
  point.at_ms = at_ms;
  point.transactions = static_cast<float>(view.rates.transactions);
  point.requests = static_cast<float>(view.rates.requests);
  point.reads = static_cast<float>(view.rates.reads);
  if (const auto& latency = view.rates.latency) {
    point.p50_ms = static_cast<float>(latency->p50_ms);
    point.p95_ms = static_cast<float>(latency->p95_ms);
    point.p99_ms = static_cast<float>(latency->p99_ms);
  }
  point.waiting = static_cast<float>(view.waiting);
  point.longest_wait_ms = static_cast<float>(view.longest_wait_s * 1000);
  point.in_use = static_cast<float>(view.servers_in_use);
  point.open = static_cast<float>(view.servers_open);
  for (const LiveNode& node : view.nodes) {
    auto known = std::find(names_.begin(), names_.end(), node.name);
    if (known == names_.end()) {
      if (names_.size() == kMostNodes) {  // nodes came and went: what was drawn of them is given up
        names_.clear();
        for (Point& old : points_) old.nodes.clear();
        point.nodes.clear();
      }
      known = names_.insert(names_.end(), node.name);
    }
    const auto index = static_cast<size_t>(known - names_.begin());
    if (point.nodes.size() <= index) point.nodes.resize(index + 1);
    point.nodes[index].reads = static_cast<float>(node.rates.reads);
    if (node.behind_s) point.nodes[index].behind_s = static_cast<float>(*node.behind_s);
  }
  points_.push_back(std::move(point));
  if (points_.size() > kPoints) points_.pop_front();
}

}  // namespace pgb::control
