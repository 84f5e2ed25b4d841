#include "proxy/topology_snapshot.h"

namespace pgb::proxy {

const char* to_string(NodeRole role) {
  switch (role) {
    case NodeRole::kPrimary: return "primary";
    case NodeRole::kReplica: return "replica";
    case NodeRole::kUnknown: break;
  }
  return "unknown";
}

const NodeView* TopologySnapshot::primary() const {
  for (const NodeView& node : nodes) {
    if (node.role == NodeRole::kPrimary && node.healthy) return &node;
  }
  return nullptr;
}

const NodeView* TopologySnapshot::primary_for_work() const {
  const NodeView* node = primary();
  return node == nullptr || node->gauge->drained.load(std::memory_order_relaxed) ? nullptr : node;
}

const NodeView* TopologySnapshot::find(const std::string& name) const {
  for (const NodeView& node : nodes) {
    if (node.name == name) return &node;
  }
  return nullptr;
}

const NodeView* TopologySnapshot::anybody() const {
  if (const NodeView* first = primary()) return first;
  for (const NodeView& node : nodes) {
    if (node.healthy) return &node;
  }
  return nullptr;
}

std::string TopologySnapshot::describe() const {
  std::string text;
  for (const NodeView& node : nodes) {
    if (!text.empty()) text += "; ";
    text += node.name + " (" + node.address() + ", " + to_string(node.role) + "): ";
    text += node.healthy ? "healthy" : node.last_error.empty() ? "not asked yet" : node.last_error;
    if (node.gauge->drained) text += ", drained";
  }
  return text.empty() ? "no nodes are configured" : text;
}

}  // namespace pgb::proxy
