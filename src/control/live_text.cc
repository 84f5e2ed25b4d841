#include <algorithm>

#include "base/strings.h"
#include "control/live_view.h"
#include "control/text_of.h"

namespace pgb::control {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kEvents = 8;

// Names and reasons come from elsewhere: nothing in them may steer a terminal.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out;
}

std::string cell(const std::string& text, size_t width) {
  std::string out = plain(text);
  if (out.size() > width) out = out.substr(0, width - 1) + "~";
  return out + std::string(width - out.size() + 1, ' ');
}

std::string right(const std::string& text, size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text + " ";
}

std::string wrapped(const std::string& text) {
  std::string out, line;
  for (const std::string& word : split(plain(text), ' ')) {
    if (!line.empty() && line.size() + 1 + word.size() > kWidth) {
      out += line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return out + line + "\n";
}

// Of a time in RFC 3339; others may have written it.
std::string clock_of(const std::string& time) { return time.size() >= 19 ? time.substr(11, 8) : "--:--:--"; }

std::string lag_of(const LiveNode& node) { return node.behind_s ? fixed(*node.behind_s * 1000, 0) + " ms" : "-"; }

void add_nodes(std::string& out, const LiveView& view) {
  out += cell("NODE", 20) + cell("ROLE", 8) + cell("STATE", 8) + right("LAG", 9) + right("READS", 6) +
         right("QUERIES/S", 10) + right("SERVERS", 8) + "\n";
  for (const LiveNode& node : view.nodes) {
    out += cell(node.name, 20) + cell(node.role == "unknown" ? "-" : node.role, 8) + cell(node.state, 8) +
           right(lag_of(node), 9) + right(fixed(node.rates.read_share * 100, 0) + " %", 6) +
           right(fixed(node.rates.requests, 0), 10) +
           right(std::to_string(node.busy) + "/" + std::to_string(node.servers), 8) + "\n";
  }
}

}  // namespace

std::string live_text(const LiveView& view, const std::vector<LiveEvent>& events) {
  std::string out = plain(view.group) + "  " + view.state + "  " + clock_of(view.time) + " UTC";
  if (view.roles) out += "  epoch " + std::to_string(view.roles->epoch);
  out += "\n";
  if (!view.sentence.empty()) out += wrapped(view.sentence);
  if (view.roles) out += wrapped(durability_sentence(*view.roles));
  const auto& latency = view.rates.latency;
  out += "\n" + fixed(view.rates.transactions, 0) + " transactions/s, " + fixed(view.rates.requests, 0) + " queries/s" +
         (latency ? ", p50 " + fixed(latency->p50_ms, 1) + " ms, p99 " + fixed(latency->p99_ms, 1) + " ms" : "") + "\n";
  out += std::to_string(view.clients) + " clients, " + std::to_string(view.waiting) + " wait (longest " +
         fixed(view.longest_wait_s * 1000, 0) + " ms), " + std::to_string(view.servers_in_use) + " of " +
         std::to_string(view.servers_open) + " servers in use\n\n";
  add_nodes(out, view);
  if (!events.empty()) out += "\n";
  std::vector<LiveEvent> newest = events;
  std::stable_sort(newest.begin(), newest.end(), [](const auto& a, const auto& b) { return a.time < b.time; });
  const size_t first = newest.size() - std::min(newest.size(), kEvents);
  for (size_t i = first; i < newest.size(); ++i) out += wrapped(clock_of(newest[i].time) + "  " + newest[i].text);
  return out;
}

}  // namespace pgb::control
