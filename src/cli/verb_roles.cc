// switchover, failover, history.
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/since.h"
#include "cli/terminal.h"
#include "cluster/roles.h"

namespace pgb::cli {

using nlohmann::json;

static int print_change(Context& context, const Result<cluster::RoleChange>& change) {
  context.end_progress();
  if (!change.ok()) return context.fail(change.error());
  if (context.json) {
    std::printf("%s\n", json{{"v", 1},
                             {"event", "role"},
                             {"group", change->group},
                             {"from", change->from},
                             {"to", change->to},
                             {"epoch", change->epoch},
                             {"seconds", change->seconds},
                             {"text", change->sentence}}
                            .dump()
                            .c_str());
  } else if (change->from == change->to) {
    std::printf("%s leads %s already.\n", change->to.c_str(), change->group.c_str());
  } else {
    std::printf("%s leads %s after %.2f s.\n  why  %s\n", change->to.c_str(), change->group.c_str(), change->seconds,
                visible(change->sentence).c_str());
  }
  return 0;
}

int verb_switchover(Context& context) {
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  return print_change(context,
                      cluster::switchover(**session, context.line.get("--balancer"), context.line.get("--to")));
}

int verb_failover(Context& context) {
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  return print_change(context, cluster::failover(**session, context.line.get("--balancer"), context.line.get("--to"),
                                                 context.line.has("--force")));
}

int verb_history(Context& context) {
  const auto since = since_text(context.line.get("--since"), std::time(nullptr));
  if (!since) return context.fail(no_time(context.line.get("--since")));
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  auto changes = cluster::history(**session, context.line.get("--balancer"));
  context.end_progress();
  if (!changes.ok()) return context.fail(changes.error());
  for (const cluster::Change& change : *changes) {
    if (change.time < *since) continue;  // RFC 3339 in UTC sorts as text
    if (context.json) {
      std::printf("%s\n", json{{"v", 1},
                               {"time", change.time},
                               {"group", change.group},
                               {"node", change.node},
                               {"action", change.action},
                               {"epoch", change.epoch},
                               {"text", change.text}}
                              .dump()
                              .c_str());
    } else {
      std::printf("%s  epoch %-3llu %s\n", visible(change.time).c_str(), static_cast<unsigned long long>(change.epoch),
                  visible(change.text).c_str());
    }
  }
  return 0;
}

}  // namespace pgb::cli
