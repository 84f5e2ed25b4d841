#include "cli/status_view.h"

#include <algorithm>
#include <cstdio>

#include "base/strings.h"

namespace pgb::cli {

using cluster::BalancerStatus;
using cluster::NodeStatus;
using cluster::StatusDocument;

namespace {

std::string padded(const std::string& text, size_t width) {
  return text.size() >= width ? text : text + std::string(width - text.size(), ' ');
}

std::string right(const std::string& text, size_t width) {
  return text.size() >= width ? text : std::string(width - text.size(), ' ') + text;
}

Mark mark_of(const std::string& state) {
  if (state == "accepting" || state == "streaming" || state == "serving" || state == "healthy") return Mark::kOk;
  if (state == "starting" || state == "not_created" || state == "absent") return Mark::kWaiting;
  if (state == "not_streaming" || state == "degraded") return Mark::kWarning;
  if (state == "unresponsive") return Mark::kUnknown;
  return Mark::kBad;
}

// A word with its mark; the mark counts as its own width, whatever bytes and colours it is made of.
std::string with_mark(const Terminal& terminal, const std::string& state, size_t width) {
  std::string word = state;
  std::replace(word.begin(), word.end(), '_', ' ');
  return mark(terminal, mark_of(state)) + " " + padded(word, width);
}

std::string ms_text(double ms) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f ms", ms);
  return text;
}

std::string lag_of(const NodeStatus& node) {
  if (node.role == "primary" || node.source != "server") return "-";
  return right(node.lag_bytes ? size_text(*node.lag_bytes) : "?", 7) +
         right(node.lag_ms ? ms_text(*node.lag_ms) : "", 9);
}

std::string before(const NodeStatus& node, const std::string& chosen) { return node.name == chosen ? "> " : "  "; }

void add_narrow(std::string& out, const BalancerStatus& balancer, const Terminal& terminal, const std::string& chosen) {
  out += "  " + padded("NODE", 20) + padded("ROLE", 9) + padded("STATE", 17) + right("TL", 3) + "  LAG\n";
  for (const NodeStatus& node : balancer.nodes) {
    out += before(node, chosen) + padded(shorten(node.name, 19), 20) + padded(node.role, 9) +
           with_mark(terminal, node.state, 15) + right(node.timeline == 0 ? "-" : std::to_string(node.timeline), 3) +
           "  " + lag_of(node) + "\n";
  }
}

void add_wide(std::string& out, const BalancerStatus& balancer, const Terminal& terminal, const std::string& chosen) {
  out += "  " + padded("NODE", 16) + padded("ROLE", 9) + padded("STATE", 17) + padded("ADDRESS", 22) + padded("PG", 7) +
         right("TL", 3) + "  " + padded("FLUSH LSN", 12) + padded("REPLAY LSN", 12) + "LAG\n";
  for (const NodeStatus& node : balancer.nodes) {
    const auto text = [](const std::string& value) { return value.empty() ? std::string("-") : value; };
    out += before(node, chosen) + padded(shorten(node.name, 15), 16) + padded(node.role, 9) +
           with_mark(terminal, node.state, 15) + padded(node.address + ":" + std::to_string(node.port), 22) +
           padded(text(node.version), 7) + right(node.timeline == 0 ? "-" : std::to_string(node.timeline), 3) + "  " +
           padded(text(node.flush_lsn), 12) + padded(text(node.replay_lsn), 12) + lag_of(node) + "\n";
  }
}

}  // namespace

std::string size_text(int64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  if (bytes < 1024 * 1024) return std::to_string(bytes / 1024) + " kB";
  if (bytes < 10ll * 1024 * 1024 * 1024) return std::to_string(bytes / 1024 / 1024) + " MB";
  return std::to_string(bytes / 1024 / 1024 / 1024) + " GB";
}

std::string render_status(const StatusDocument& document, const Terminal& terminal, bool wide,
                          const std::string& chosen) {
  const size_t width = static_cast<size_t>(std::max(terminal.width, 40));
  const std::string time = document.time.size() > 19 ? document.time.substr(11, 8) : document.time;
  std::string out = shorten(document.cluster, 22) + "  " + with_mark(terminal, document.state, 11) + "  " +
                    padded(wide ? shorten(visible(document.engine), 42) : document.runtime, 8) + "  " + time +
                    " UTC (asked, " + ms_text(document.seconds * 1000) + ")\n";
  for (const std::string& note : document.notes) out += wrapped(note, width, "  ");
  if (document.state == "not_created") out += "  init makes it\n";
  for (const BalancerStatus& balancer : document.balancers) {
    std::string line = padded(shorten(balancer.name, 15), 5) + " " + with_mark(terminal, balancer.state, 8) + "  " +
                       balancer.address + ":" + std::to_string(balancer.port);
    if (balancer.query_ok) line += "   query " + ms_text(balancer.query_ms);
    const size_t used = columns(line) + 3;
    const std::string safety = visible(balancer.durability) + (balancer.failover ? "" : ", no failover");
    if (used + 8 <= width) line += "   " + shorten(safety, width - used);
    out += "\n" + line + "\n";
    (wide ? add_wide : add_narrow)(out, balancer, terminal, chosen);
  }
  if (!document.last_text.empty()) {
    const bool today = document.last_time.substr(0, 10) == document.time.substr(0, 10);
    const std::string when = today ? document.last_time.substr(11, 8) : document.last_time.substr(0, 10);
    out += "\nlast  " + visible(when) + " " + shorten(visible(document.last_text), width - 7 - when.size()) + "\n";
  }
  return out;
}

int status_exit_code(const StatusDocument& document) {
  return document.state == "healthy" ? 0 : document.state == "degraded" ? 10 : document.state == "no_primary" ? 11 : 12;
}

}  // namespace pgb::cli
