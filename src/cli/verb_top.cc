// top: what the balancers see, again and again.
#include <unistd.h>

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

constexpr char kHelp[] =
    "  s             sorts the nodes: as in the file, by load, by lag\n"
    "  p             shows pools or not\n"
    "  e             shows events or not\n"
    "  blank         looks at once\n";

bool obey(int key, TopChoice& choice) {
  using Order = TopChoice::Order;
  switch (key) {
    case 's':
      choice.order = choice.order == Order::kConfigured ? Order::kLoad
                     : choice.order == Order::kLoad     ? Order::kLag
                                                        : Order::kConfigured;
      return true;
    case 'p': choice.pools = !choice.pools; return true;
    case 'e': choice.events = !choice.events; return true;
    default: return key == ' ';
  }
}

std::string keys_line(const TopChoice& choice) {
  return std::string("  q quits  s sorts nodes (by ") + to_string(choice.order) + ")  p pools  e events  ? help";
}

int watch_top(Context& context, const cluster::Session& session, const std::string& balancer, int interval_ms) {
  TopChoice choice;
  WatchedView view;
  view.make = [&]() -> Result<std::string> {
    const auto groups = cluster::live(session, balancer);
    if (!groups.ok()) return groups.error();
    return rendered(context, *groups, choice);
  };
  view.keys = [&] { return keys_line(choice); };
  view.help = kHelp;
  view.obey = [&](int key) { return obey(key, choice); };
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
