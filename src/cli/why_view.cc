#include "cli/why_view.h"

#include <algorithm>
#include <cstdio>

#include "cli/terminal.h"

namespace pgb::cli {

const api::Explanation::Member* said_of(const Result<cluster::WhyGroup>& why, const std::string& node) {
  if (!why.ok()) return nullptr;
  const auto& members = why->view.members;
  const auto found = std::find_if(members.begin(), members.end(), [&](const auto& one) { return one.name == node; });
  return found == members.end() ? nullptr : &*found;
}

std::string render_why(const cluster::NodeStatus& node, const Result<cluster::WhyGroup>& why) {
  const std::string reason = node.reason.empty() ? "" : ": " + visible(node.reason);
  std::string out = node.name + " is " + node.role + ", " + node.state + reason + ".\n";
  const api::Explanation::Member* said = said_of(why, node.name);
  if (said == nullptr) return out;
  if (!said->sentence.empty()) {
    char age[32];
    std::snprintf(age, sizeof age, "%.1f", said->age);
    out += "  agent  " + visible(said->sentence) + " (" + age + " s ago)\n";
  }
  if (why->view.leader != node.name) out += "  role   " + visible(said->reason) + "\n";
  return out;
}

}  // namespace pgb::cli
