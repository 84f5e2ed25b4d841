// Which servers there are and what they are, at one moment: an immutable value handed to the proxy.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace pgb::proxy {

enum class NodeRole { kUnknown, kPrimary, kReplica };
const char* to_string(NodeRole role);  // "unknown", "primary", "replica"

struct NodeView {
  std::string name;
  std::string host;  // IP address or "localhost"
  uint16_t port = 5432;
  NodeRole role = NodeRole::kUnknown;  // what it said last; kept when it falls silent
  bool healthy = false;                // it answers queries
  std::string last_error;              // why it is not healthy

  std::string address() const { return host + ":" + std::to_string(port); }
  bool operator==(const NodeView&) const = default;
};

struct TopologySnapshot {
  std::string group;
  uint64_t version = 0;  // grows with every change
  std::vector<NodeView> nodes;

  // The healthy primary; null if there is none. Owned by the snapshot.
  const NodeView* primary() const;
  const NodeView* find(const std::string& name) const;
  // "primary1 (172.31.1.20:5432, primary): connection refused; …", for error messages.
  std::string describe() const;
  bool operator==(const TopologySnapshot&) const = default;
};

using TopologyPtr = std::shared_ptr<const TopologySnapshot>;

}  // namespace pgb::proxy
