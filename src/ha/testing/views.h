// What the agents of a group of three see.
#pragma once

#include "ha/view.h"

namespace pgb::ha::testing {

inline const Time kNow = Time{} + std::chrono::hours(1);

inline NodeView standby(const std::string& name, Lsn lsn) {
  NodeView node;
  node.name = name;
  node.server = Server::kStandby;
  node.system_id = "7000";
  node.flushed = Position{1, lsn};
  node.history = {{1, 0}};
  node.promised = 1;
  node.following = Following{"a", 1};
  node.streaming = true;
  node.seen = kNow;
  return node;
}

inline NodeView primary(const std::string& name, Lsn lsn) {
  NodeView node = standby(name, lsn);
  node.server = Server::kPrimary;
  node.following.reset();
  node.epoch = node.led = 1;
  return node;
}

// a leads epoch 1, b and c follow; commits are on any one of them.
inline ClusterView group(const NodeView& self, const std::vector<NodeView>& peers) {
  ClusterView view;
  static_cast<NodeView&>(view.self) = self;
  for (const auto& peer : peers) view.peers[peer.name] = peer;
  view.members = {"a", "b", "c"};
  view.store.reachable = true;
  view.store.leader = LeaderKey{"a", 1, 11, 5};
  view.store.epoch = {1, "a", 1, 5};
  view.store.sync = SyncRecord{"a", 1, Durability::kQuorum, {{"b", "c"}, 1}, 6};
  return view;
}

inline ClusterView leading() {
  ClusterView view = group(primary("a", 100), {standby("b", 100), standby("c", 90)});
  view.self.lease = 11;
  view.self.renewed = kNow - Duration(500);
  view.self.sync = {false, {{"b", "c"}, 1}};
  view.self.links = {{"b", {true, 100, kNow - std::chrono::minutes(1)}},
                     {"c", {true, 90, kNow - std::chrono::minutes(1)}}};
  return view;
}

// Both standbys have promised epoch 2; b decides.
inline ClusterView electing() {
  NodeView b = standby("b", 100);
  NodeView c = standby("c", 90);
  b.promised = c.promised = 2;
  b.following.reset();
  c.following.reset();
  ClusterView view = group(b, {primary("a", 100), c});
  view.store.leader.reset();
  view.self.promised_at = kNow - Duration(400);
  return view;
}

}  // namespace pgb::ha::testing
