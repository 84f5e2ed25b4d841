// The live state as a page for a terminal, in the manner of top(1).
#pragma once

#include <string>
#include <vector>

#include "cli/terminal.h"
#include "cluster/live.h"

namespace pgb::cli {

struct TopChoice {
  enum class Order { kConfigured, kLoad, kLag };
  Order order = Order::kConfigured;  // of the nodes; pools are by load
  bool pools = true;
  bool events = true;
};
const char* to_string(TopChoice::Order order);  // "file", "load", "lag"

// Lines of at most the terminal's width, but for no fewer than 60 columns.
std::string render_top(std::vector<cluster::LiveGroup> groups, const Terminal& terminal, const TopChoice& choice);

}  // namespace pgb::cli
