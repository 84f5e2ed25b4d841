// status, once or again and again.
#include <poll.h>
#include <unistd.h>

#include <cstdio>

#include "cli/context.h"
#include "cli/status_view.h"
#include "cli/status_watch.h"
#include "cli/watch.h"
#include "cluster/status.h"

namespace pgb::cli {

namespace {

using cluster::StatusDocument;

std::string names(const StatusDocument& document) {
  std::string out;
  for (const cluster::BalancerStatus& balancer : document.balancers) {
    out += balancer.name + "\n";
    for (const cluster::NodeStatus& node : balancer.nodes) out += node.name + "\n";
  }
  return out;
}

std::string rendered(const Context& context, const StatusDocument& document, bool wide,
                     const std::string& chosen = {}) {
  if (context.json) return to_json(document) + "\n";
  if (context.line.get("--output") == "name") return names(document);
  const Terminal now = Terminal::of(STDOUT_FILENO, color_of(context.line));  // its width may have changed
  return render_status(document, now, wide, chosen);
}

// The whole cluster, or the one node that was asked for.
Result<StatusDocument> look(const Context& context, const cluster::Session& session) {
  auto document = cluster::status(session);
  if (document.ok() && context.line.has("--node")) {
    PGB_TRY(cluster::only_node(*document, context.line.get("--node")));
  }
  return document;
}

bool wants_wide(const Context& context) { return context.line.get("--output") == "wide"; }

int watch_status(Context& context, cluster::Session& session, int interval_ms) {
  StatusWatch shown(
      session, [&] { return look(context, session); },
      [&](const StatusDocument& document, bool wide, const std::string& chosen) {
        return rendered(context, document, wide, chosen);
      },
      wants_wide(context));
  WatchedView view;
  view.make = [&] { return shown.make(); };
  view.keys = [&] { return shown.keys(); };
  view.help = StatusWatch::help();
  view.obey = [&](int key) { return shown.obey(key); };
  return watch(context, session, interval_ms, view);
}

// Until it is healthy; the document of that moment, or of the end of patience.
Result<StatusDocument> wait_healthy(const Context& context, const cluster::Session& session) {
  for (;; poll(nullptr, 0, 100)) {
    auto document = look(context, session);
    if (!document.ok() || document->state == "healthy") return document;
    PGB_TRY(session.check_interrupted());
  }
}

}  // namespace

int verb_status(Context& context) {
  const auto interval = context.watch_interval();
  if (!interval.ok()) return context.fail(interval.error());
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  context.end_progress();
  if (context.line.has("--watch")) return watch_status(context, **session, *interval);
  const bool waiting = context.line.has("--wait");
  auto document = waiting ? wait_healthy(context, **session) : look(context, **session);
  if (!document.ok()) return context.fail(document.error());
  std::fputs(rendered(context, *document, wants_wide(context)).c_str(), stdout);
  return context.line.has("--exit-code") ? status_exit_code(*document) : 0;
}

}  // namespace pgb::cli
