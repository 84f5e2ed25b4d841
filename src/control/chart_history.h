// The last quarter of an hour in steps of some seconds, so that a page that is opened now has something to draw.
// Bounded: kPoints points of at most kMostNodes nodes.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "control/live_view.h"

namespace pgb::control {

class ChartHistory {
 public:
  static constexpr std::chrono::seconds kStep{3};
  static constexpr size_t kPoints = 300;
  static constexpr size_t kMostNodes = 128;

  struct Point {
    int64_t at_ms = 0;                                // since the epoch
    float transactions = 0, requests = 0, reads = 0;  // a second
    std::optional<float> p50_ms, p95_ms, p99_ms;      // none: nothing was asked
    float waiting = 0, longest_wait_ms = 0, in_use = 0, open = 0;
    struct Node {
      float reads = 0;
      std::optional<float> behind_s;  // none: not known, or it is the primary
    };
    std::vector<Node> nodes;  // in the order of names(); shorter where there were fewer
  };

  void add(const LiveView& view, int64_t at_ms);
  const std::vector<std::string>& names() const { return names_; }
  const std::deque<Point>& points() const { return points_; }

 private:
  std::vector<std::string> names_;  // of all nodes that there were
  std::deque<Point> points_;
};

}  // namespace pgb::control
