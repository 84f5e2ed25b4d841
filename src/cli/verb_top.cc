// top: what the balancers see, again and again.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/context.h"
#include "cli/top_view.h"
#include "cli/watch.h"
#include "cluster/live.h"

namespace pgb::cli {

namespace {

std::string rendered(const Context& context, const std::vector<cluster::LiveGroup>& groups, const TopChoice& choice) {
  if (!context.json) return render_top(groups, Terminal::of(STDOUT_FILENO, color_of(context.line)), choice);
  std::string out;
  for (const cluster::LiveGroup& group : groups) out += group.document;  // each ends its own line
  return out;
}

// False: the key ends it.
bool obey(char key, TopChoice& choice) {
  using Order = TopChoice::Order;
  if (is_quit(key)) return false;
  switch (key) {
    case 's':
      choice.order = choice.order == Order::kConfigured ? Order::kLoad
                     : choice.order == Order::kLoad     ? Order::kLag
                                                        : Order::kConfigured;
      return true;
    case 'p': choice.pools = !choice.pools; return true;
    case 'e': choice.events = !choice.events; return true;
    default: return true;  // any other one: look again at once
  }
}

std::string keys_line(const TopChoice& choice) {
  return std::string("\n  q quits  s sorts nodes (by ") + to_string(choice.order) +
         ")  p pools  e events  blank: now\n";
}

// The text without what does not fit above the line of keys.
std::string cropped(const std::string& text, int height) {
  constexpr int kKeys = 3;  // with the blank line before, and the end of the last one
  size_t end = 0;
  for (int line = 0; line < height - kKeys && end < text.size(); ++line)
    end = std::min(text.find('\n', end), text.size() - 1) + 1;
  return text.substr(0, end);
}

int watch_top(Context& context, const cluster::Session& session, const std::string& balancer, int interval_ms) {
  TopChoice choice;
  WatchedView view;
  view.make = [&]() -> Result<std::string> {
    const auto groups = cluster::live(session, balancer);
    if (!groups.ok()) return groups.error();
    return rendered(context, *groups, choice);
  };
  view.on_screen = [&](const std::string& text, int height) { return cropped(text, height) + keys_line(choice); };
  view.obey = [&](char key) { return obey(key, choice); };
  return watch(context, session, interval_ms, view);
}

}  // namespace

int verb_top(Context& context) {
  const auto interval = context.watch_interval();
  if (!interval.ok()) return context.fail(interval.error());
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  context.end_progress();
  const std::string balancer = context.line.get("--balancer");
  const auto groups = cluster::live(**session, balancer);
  if (!groups.ok()) return context.fail(groups.error());
  const bool again = context.line.has("--watch") || (context.out.tty && !context.json);
  if (again) return watch_top(context, **session, balancer, *interval);
  std::fputs(rendered(context, *groups, TopChoice()).c_str(), stdout);
  for (const cluster::LiveGroup& group : *groups) {
    if (group.error.empty()) continue;
    return context.fail(
        Error(Code::kUnreachable, group.balancer + ": " + group.error).with("look", context.again("status")));
  }
  return 0;
}

}  // namespace pgb::cli
