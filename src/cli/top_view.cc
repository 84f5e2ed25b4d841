#include "cli/top_view.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/strings.h"

namespace pgb::cli {

using cluster::LiveGroup;
using cluster::LiveNode;
using cluster::LivePool;

namespace {

constexpr size_t kMostPools = 8, kMostEvents = 6;
constexpr size_t kBar = 6;
constexpr double kOld_s = 3;  // what is older says nothing of how things are

std::string right(const std::string& text, size_t width) {
  return text.size() >= width ? text : std::string(width - text.size(), ' ') + text;
}

std::string rate(double value) {
  char out[32];
  std::snprintf(out, sizeof out, value < 10 && value > 0 ? "%.1f" : "%.0f", value);
  return out;
}

std::string milliseconds(const std::optional<double>& ms) {
  if (!ms) return "-";
  if (*ms >= 10000) return rate(*ms / 1000) + " s";
  return rate(*ms) + " ms";
}

std::string lag_of(const LiveNode& node) {
  return node.lag_s ? milliseconds(std::optional(std::round(*node.lag_s * 1000))) : "-";
}

Mark mark_of(const std::string& state) {
  if (state == "up" || state == "healthy") return Mark::kOk;
  if (state == "degraded") return Mark::kWarning;
  if (state == "drained") return Mark::kWaiting;
  return state == "unknown" ? Mark::kUnknown : Mark::kBad;
}

std::string with_mark(const Terminal& terminal, std::string state, size_t width) {
  const std::string shown = mark(terminal, mark_of(state));
  std::replace(state.begin(), state.end(), '_', ' ');
  return shown + " " + fitted(visible(state), width);
}

std::string bar(const Terminal& terminal, double share) {
  const auto full = static_cast<size_t>(std::lround(std::clamp(share, 0.0, 1.0) * kBar));
  std::string out;
  for (size_t i = 0; i < kBar; ++i) out += i < full ? (terminal.utf8 ? "█" : "#") : (terminal.utf8 ? "░" : ".");
  return out;
}

void sort_nodes(std::vector<LiveNode>& nodes, TopChoice::Order order) {
  const auto more = [order](const LiveNode& a, const LiveNode& b) {
    if (order == TopChoice::Order::kLoad) return a.requests_per_s > b.requests_per_s;
    return a.lag_s.value_or(0) > b.lag_s.value_or(0);
  };
  if (order != TopChoice::Order::kConfigured) std::stable_sort(nodes.begin(), nodes.end(), more);
}

// The balancer answers, but has itself not looked at the group for a while.
void call_unknown(LiveGroup& group) {
  group.state = "unknown";
  group.sentence = "The balancer has not looked at the group for " + std::to_string(static_cast<int>(group.age_s)) +
                   " s: what follows is old.";
  for (LiveNode& node : group.nodes) node.state = "unknown";
}

void add_head(std::string& out, const LiveGroup& group, const Terminal& terminal, size_t width) {
  const std::string clock = group.time.size() > 19 ? group.time.substr(11, 8) + " UTC" : "";
  out += fitted(visible(group.balancer), std::min<size_t>(columns(group.balancer), 20)) + "  " +
         with_mark(terminal, group.state, columns(group.state)) + "  " + clock +
         (group.epoch ? "  epoch " + std::to_string(*group.epoch) : "") + "\n";
  if (!group.sentence.empty()) out += "  ! " + shorten(visible(group.sentence), width - 4) + "\n";
  if (!group.durability.empty()) out += "  " + shorten(visible(group.durability), width - 2) + "\n";
  out += "  " + rate(group.transactions_per_s) + " transactions/s  " + rate(group.requests_per_s) + " queries/s  p50 " +
         milliseconds(group.p50_ms) + "  p95 " + milliseconds(group.p95_ms) + "  p99 " + milliseconds(group.p99_ms) +
         "\n";
  const std::string waiting = std::to_string(group.waiting) + " wait (longest " +
                              milliseconds(std::optional(group.longest_wait_s * 1000)) + ")";
  out += "  " + std::to_string(group.clients) + " of " + std::to_string(group.max_clients) + " clients  " +
         (group.waiting > 0 ? paint(terminal, "yellow", waiting) : waiting) + "  " + std::to_string(group.in_use) +
         " of " + std::to_string(group.open) + " servers in use\n";
}

void add_nodes(std::string& out, const LiveGroup& group, const Terminal& terminal) {
  out += "\n  " + fitted("NODE", 15) + fitted("ROLE", 8) + fitted("STATE", 10) + right("LAG", 8) + right("Q/S", 8) +
         right("P99", 9) + right("SERV", 6) + "  READS\n";
  for (const LiveNode& node : group.nodes) {
    out += "  " + fitted(shorten(visible(node.name), 14), 15) +
           fitted(node.role == "unknown" ? "-" : visible(node.role), 8) + with_mark(terminal, node.state, 8) +
           right(lag_of(node), 8) + right(rate(node.requests_per_s), 8) + right(milliseconds(node.p99_ms), 9) +
           right(std::to_string(node.busy) + "/" + std::to_string(node.servers), 6) + "  " +
           bar(terminal, node.read_share).append(right(rate(node.read_share * 100), 4)) + "%\n";
  }
}

void add_pools(std::string& out, const LiveGroup& group) {
  if (group.pools.empty()) return;
  out += "\n  " + fitted("DATABASE", 17) + fitted("USER", 15) + right("Q/S", 8) + right("CLIENTS", 9) +
         right("WAIT", 6) + right("ACTIVE", 8) + right("BOUND", 7) + right("IDLE", 6) + "\n";
  for (size_t i = 0; i < group.pools.size() && i < kMostPools; ++i) {
    const LivePool& pool = group.pools[i];
    const auto count = [](uint64_t value, size_t width) { return right(std::to_string(value), width); };
    out += "  " + fitted(shorten(visible(pool.database), 16), 17) + fitted(shorten(visible(pool.user), 14), 15) +
           right(rate(pool.requests_per_s), 8) + count(pool.clients, 9) + count(pool.waiting, 6) +
           count(pool.active, 8) + count(pool.bound, 7) + count(pool.idle, 6) + "\n";
  }
}

void add_events(std::string& out, const LiveGroup& group, size_t width) {
  if (group.events.empty()) return;
  out += "\n";
  for (size_t i = group.events.size() - std::min(group.events.size(), kMostEvents); i < group.events.size(); ++i) {
    const std::string& time = group.events[i].time;
    out += "  " + fitted(visible(time.size() > 19 ? time.substr(11, 8) : time), 8) + "  " +
           shorten(visible(group.events[i].text), width - 12) + "\n";
  }
}

}  // namespace

const char* to_string(TopChoice::Order order) {
  return order == TopChoice::Order::kConfigured ? "file" : order == TopChoice::Order::kLoad ? "load" : "lag";
}

std::string render_top(std::vector<LiveGroup> groups, const Terminal& terminal, const TopChoice& choice) {
  const size_t width = static_cast<size_t>(std::max(terminal.width, 60));
  std::string out;
  for (LiveGroup& group : groups) {
    if (!out.empty()) out += "\n";
    if (!group.error.empty()) {
      out += visible(group.balancer) + "  " + with_mark(terminal, "no data", 7) + "  " +
             shorten(visible(group.error), width - std::min(width / 2, columns(group.balancer) + 13)) + "\n";
      continue;
    }
    if (group.age_s > kOld_s) call_unknown(group);
    sort_nodes(group.nodes, choice.order);
    add_head(out, group, terminal, width);
    add_nodes(out, group, terminal);
    if (choice.pools) add_pools(out, group);
    if (choice.events) add_events(out, group, width);
  }
  return out;
}

}  // namespace pgb::cli
