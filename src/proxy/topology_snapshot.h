// Which servers there are and what they are, at one moment: an immutable value handed to the proxy.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proxy/server_basics.h"

namespace pgb::proxy {

enum class NodeRole { kUnknown, kPrimary, kReplica };
const char* to_string(NodeRole role);  // "unknown", "primary", "replica"

// How it answered the questions that are asked all the time. One thread writes.
struct ProbeCounts {
  std::atomic<uint64_t> good{0}, bad{0};
  std::atomic<uint64_t> sum_us{0}, longest_us{0}, shortest_us{UINT64_MAX};  // of the good ones
  std::atomic<int64_t> last_good_ns{0}, last_bad_ns{0};  // steady clock, when it was decided; 0: never

  void note(bool answered, int64_t asked_ns, int64_t now_ns) {
    (answered ? last_good_ns : last_bad_ns) = now_ns;
    ++(answered ? good : bad);
    if (!answered) return;
    const uint64_t us = now_ns > asked_ns ? static_cast<uint64_t>(now_ns - asked_ns) / 1000 : 0;
    sum_us += us;
    if (us > longest_us) longest_us = us;
    if (us < shortest_us) shortest_us = us;
  }
};

// What is measured of a node all the time, by whoever measures it. Thread-safe.
struct NodeGauge {
  // Steady-clock time (ns) of the newest moment at which everything that the primary had committed by then is known
  // to be on this node, too; 0: not known. A session that wrote last at t reads what it wrote when t is not later.
  std::atomic<int64_t> caught_up_ns{0};
  std::atomic<uint64_t> behind_bytes{0};  // of the primary's log, when it was last asked
  std::atomic<uint32_t> busy{0};          // our servers there that work just now
  std::atomic<uint32_t> latency_us{0};    // from a request to the end of its answer, smoothed
  // Traffic met an error there: it gets no reads until a probe that was sent at this time or later has been answered.
  // 0: none has to be.
  std::atomic<int64_t> ejected_until_ns{0};
  std::atomic<int64_t> back_since_ns{0};  // when it was last found again, or for the first time
  std::atomic<int64_t> changed_ns{0};     // when it last began or ceased to be healthy, or to be drained; 0: never yet

  ProbeCounts probes;
  BasicsBox basics;

  void note_latency(uint64_t us) {
    constexpr uint64_t kMost = 10'000'000;
    const uint32_t before = latency_us.load(std::memory_order_relaxed);
    latency_us.store(before - before / 8 + static_cast<uint32_t>(std::min(us, kMost)) / 8, std::memory_order_relaxed);
  }
  // True if it was not ejected before.
  bool eject(int64_t until_ns) {
    int64_t known = ejected_until_ns.load();
    while (known < until_ns) {
      if (ejected_until_ns.compare_exchange_weak(known, until_ns)) return known == 0;
    }
    return false;
  }
  // A probe sent at `asked_ns` was answered. True if that ends an ejection.
  bool readmit(int64_t asked_ns) {
    int64_t known = ejected_until_ns.load();
    return known != 0 && known <= asked_ns && ejected_until_ns.compare_exchange_strong(known, 0);
  }
  std::atomic<bool> drained{false};  // by an operator's order: it gets no new work
};

struct NodeView {
  std::string name;
  std::string host;  // IP address or "localhost"
  uint16_t port = 5432;
  NodeRole role = NodeRole::kUnknown;                                // what it said last; kept when it falls silent
  bool healthy = false;                                              // it answers queries, and is what it calls itself
  std::string last_error;                                            // why it is not healthy
  uint32_t timeline = 0;                                             // of the log that it wrote last as primary
  bool refused = false;                                              // not healthy, for it is a primary beside the one
  double weight = 1;                                                 // its share of the reads; 0: none
  std::string tls_host = {};                                         // name in its certificate; empty: host
  std::shared_ptr<NodeGauge> gauge = std::make_shared<NodeGauge>();  // of the node, whatever the snapshot

  const std::string& tls_name() const { return tls_host.empty() ? host : tls_host; }
  NodeRole role_now() const { return healthy ? role : NodeRole::kUnknown; }  // what it was is no role while it is gone
  std::string address() const { return host + ":" + std::to_string(port); }
  bool operator==(const NodeView& other) const {
    return name == other.name && host == other.host && port == other.port && role == other.role &&
           healthy == other.healthy && last_error == other.last_error && timeline == other.timeline &&
           refused == other.refused && weight == other.weight && tls_host == other.tls_host;
  }
};

struct TopologySnapshot {
  std::string group;
  uint64_t version = 0;  // grows with every change
  std::vector<NodeView> nodes;

  // The healthy primary; null if there is none. Owned by the snapshot.
  const NodeView* primary() const;
  // The same, but null while it is drained.
  const NodeView* primary_for_work() const;
  const NodeView* find(const std::string& name) const;
  // The healthy primary, which knows of changes soonest, else any healthy node; null if there is none.
  const NodeView* anybody() const;
  // "primary1 (172.31.1.20:5432, primary): connection refused; …", for error messages.
  std::string describe() const;
  bool operator==(const TopologySnapshot&) const = default;
};

using TopologyPtr = std::shared_ptr<const TopologySnapshot>;

}  // namespace pgb::proxy
