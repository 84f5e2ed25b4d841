// switchover, failover, history.
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "cli/ask.h"
#include "cli/context.h"
#include "cli/since.h"
#include "cli/status_view.h"
#include "cli/terminal.h"
#include "cluster/failover.h"
#include "cluster/roles.h"

namespace pgb::cli {

using nlohmann::json;

static json to_doc(const cluster::RoleChange& change) {
  json doc{{"v", 1},
           {"event", "role"},
           {"group", change.group},
           {"from", change.from},
           {"to", change.to},
           {"epoch", change.epoch},
           {"seconds", change.seconds},
           {"text", change.sentence},
           {"lossy", change.lossy},
           {"trouble", change.trouble},
           {"measured", nullptr}};
  if (change.measured) {
    doc["measured"] = {{"pause_s", change.measured->pause},
                       {"commits", change.measured->commits},
                       {"errors", change.measured->errors},
                       {"first_error", change.measured->first_error},
                       {"lost", change.measured->lost ? json(*change.measured->lost) : json(nullptr)}};
  }
  return doc;
}

static std::string measured_text(const cluster::Measured& measured) {
  char text[160];
  std::snprintf(text, sizeof text, "Measured: writes paused %.2f s, %llu client errors, ", measured.pause,
                static_cast<unsigned long long>(measured.errors));
  std::string lost = "whether commits are lost is not known";
  if (measured.lost)
    lost = std::to_string(*measured.lost) + " of " + std::to_string(measured.commits) + " commits lost";
  return text + lost + ".";
}

static int print_change(Context& context, const Result<cluster::RoleChange>& change) {
  context.end_progress();
  if (!change.ok()) return context.fail(change.error());
  if (context.json) {
    std::printf("%s\n", to_doc(*change).dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    return 0;
  }
  if (change->from == change->to) {
    std::printf("%s leads %s already.\n", change->to.c_str(), change->group.c_str());
    return 0;
  }
  std::printf("%s leads %s after %.2f s.\n", change->to.c_str(), change->group.c_str(), change->seconds);
  if (change->measured) {
    std::printf("%s\n", measured_text(*change->measured).c_str());
    if (!change->measured->first_error.empty()) {
      std::printf("  error  %s\n", visible(change->measured->first_error).c_str());
    }
  }
  if (change->lossy) std::printf("  lossy  it was forced: acknowledged commits are lost, or may be\n");
  std::printf("  why    %s\n", visible(change->sentence).c_str());
  if (!change->trouble.empty()) std::printf("  but    %s\n", visible(change->trouble).c_str());
  return 0;
}

// What it will do, and what is known of that.
static std::string dialog(const std::string& cluster, const cluster::SwitchoverPlan& plan) {
  const std::string behind = size_text(plan.lag_bytes) + " behind";
  std::string out = cluster + ": " + plan.from + " -> " + plan.to + " (planned)\n";
  out += "  loss      none: " + plan.to + " is " + (plan.async ? "" : "in the sync set and ") + behind + ", and " +
         plan.from + " stops first\n";
  out += "  pause     writes wait ";
  if (plan.last_pause) {
    char text[64];
    std::snprintf(text, sizeof text, "about %.2f s at %s, as last time", *plan.last_pause, plan.group.c_str());
    out += text;
  } else {
    out += "at " + plan.group + ": how long was not measured here yet";
  }
  return out + "; reads go on\n  open      transactions that are not done by then end with an error (40001)\n";
}

static int print_plan(Context& context, const std::string& cluster, const cluster::SwitchoverPlan& plan) {
  context.end_progress();
  if (context.json) {
    std::printf("%s\n", json{{"v", 1},
                             {"event", "plan"},
                             {"group", plan.group},
                             {"from", plan.from},
                             {"to", plan.to},
                             {"lag_bytes", plan.lag_bytes},
                             {"last_pause_s", plan.last_pause ? json(*plan.last_pause) : json(nullptr)}}
                            .dump()
                            .c_str());
  } else if (plan.from == plan.to) {
    std::printf("%s leads %s already.\n", plan.to.c_str(), plan.group.c_str());
  } else {
    std::fputs(dialog(cluster, plan).c_str(), stdout);
  }
  return 0;
}

int verb_switchover(Context& context) {
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  const std::string balancer = context.line.get("--balancer"), to = context.line.get("--to");
  const std::string& cluster = (*session)->wanted.cluster_name;
  const bool asks = can_ask(context);  // nothing is lost, so that a script need not say --yes
  if (asks || context.line.has("--dry-run")) {
    auto plan = cluster::plan_switchover(**session, balancer, to);
    if (!plan.ok()) return context.fail(plan.error());
    if (context.line.has("--dry-run")) return print_plan(context, cluster, *plan);
    if (plan->from != plan->to) {
      std::fputs(dialog(cluster, *plan).c_str(), stderr);
      if (Status yes = ask_to_go_on(**session); !yes.ok()) return context.fail(yes.error());
    }
  }
  return print_change(context, cluster::switchover(**session, balancer, to));
}

// What is lost, as far as anybody who answers knows.
static std::string loss_text(const cluster::ForcePlan& plan) {
  if (plan.safe) return "nothing that was acknowledged";
  if (plan.behind.value_or(0) == 0) return plan.cost;
  return plan.cost + "; others are known to have " + size_text(static_cast<int64_t>(*plan.behind)) + " of WAL more";
}

static int print_plan(Context& context, const cluster::ForcePlan& plan) {
  context.end_progress();
  if (context.json) {
    const json doc{{"v", 1},
                   {"event", "plan"},
                   {"group", plan.group},
                   {"to", plan.to},
                   {"safe", plan.safe},
                   {"reason", plan.reason},
                   {"cost", plan.cost},
                   {"behind_bytes", plan.behind ? json(*plan.behind) : json(nullptr)}};
    std::printf("%s\n", doc.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
  } else {
    std::printf("%s would lead %s.\n  why    %s\n  loss   %s\n", plan.to.c_str(), plan.group.c_str(),
                visible(plan.reason).c_str(), visible(loss_text(plan)).c_str());
  }
  return 0;
}

// Commits may be lost by it, for good: whoever gives the order has to have been told which.
static Result<cluster::RoleChange> force(Context& context, cluster::Session& session, const std::string& balancer,
                                         const cluster::ForcePlan& plan) {
  const std::string text =
      "failover by force makes " + plan.to + " the primary of " + plan.group + ", which loses " + loss_text(plan);
  if (can_ask(context)) std::fprintf(stderr, "%s.\n", visible(text).c_str());
  const std::string to = context.line.has("--to") ? " --to " + plan.to : "";
  const Error refused = Error(Code::kNeedsYes, text)
                            .with(plan.to, plan.reason)
                            .with("changed", "nothing")
                            .with("try", "bring back who is missing: pgbalancer_cluster start")
                            .with("or accept the loss", context.again("failover --force" + to + " --yes"));
  if (!plan.safe) PGB_TRY(want_yes(context, session, refused));
  return cluster::failover(session, balancer, plan.to, true);
}

int verb_failover(Context& context) {
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  const std::string balancer = context.line.get("--balancer"), to = context.line.get("--to");
  if (!context.line.has("--force")) return print_change(context, cluster::failover(**session, balancer, to, false));
  auto plan = cluster::plan_force(**session, balancer, to);
  if (!plan.ok()) return context.fail(plan.error());
  if (context.line.has("--dry-run")) return print_plan(context, *plan);
  return print_change(context, force(context, **session, balancer, *plan));
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
