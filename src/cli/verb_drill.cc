// drill: a failure on purpose.
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cli/ask.h"
#include "cli/context.h"
#include "cli/terminal.h"
#include "cluster/drill.h"

namespace pgb::cli {

using nlohmann::json;

namespace {

json to_doc(const cluster::DrillResult& result, const std::string& kind) {
  return {{"v", 1},
          {"event", "drill"},
          {"kind", kind},
          {"group", result.plan.group},
          {"node", result.plan.node},
          {"was_primary", result.plan.leads},
          {"primary", result.primary},
          {"pause_s", result.outage.gap},
          {"recovery_s", result.recovery},
          {"errors", result.outage.errors},
          {"reasons", result.outage.reasons},
          {"acknowledged", result.acknowledged},
          {"lost", result.lost},
          {"lacking", result.lacking},
          {"left", result.left}};
}

void print_result(const cluster::DrillResult& result) {
  std::printf("Writes paused %.2f s; %llu client errors; %llu of %llu acknowledged commits lost.\n", result.outage.gap,
              static_cast<unsigned long long>(result.outage.errors), static_cast<unsigned long long>(result.lost),
              static_cast<unsigned long long>(result.acknowledged));
  std::printf("  primary  %s; all servers streamed again after %.1f s\n", result.primary.c_str(), result.recovery);
  for (const auto& [reason, times] : result.outage.reasons) {
    std::printf("  error    %llu x %s\n", static_cast<unsigned long long>(times), visible(reason).c_str());
  }
  for (const std::string& one : result.lacking) std::printf("  lacking  %s acknowledged commits\n", one.c_str());
}

// A drill that has found a loss, or leaves something behind, has not gone well.
int verdict(const cluster::DrillResult& result) {
  std::fflush(stdout);
  if (result.lost > 0) {
    std::fprintf(stderr, "error: %llu acknowledged commits are lost\n", static_cast<unsigned long long>(result.lost));
  }
  if (!result.left.empty()) std::fprintf(stderr, "error: left behind: %s\n", visible(result.left).c_str());
  for (const std::string& one : result.lacking) std::fprintf(stderr, "error: commits are lacking on %s\n", one.c_str());
  return result.lost > 0 || !result.left.empty() || !result.lacking.empty() ? 1 : 0;
}

}  // namespace

int verb_drill(Context& context) {
  std::signal(SIGPIPE, SIG_IGN);  // who no longer reads the output does not keep a node cut off
  const std::string kinds = join(cluster::drill_words(), ", ");
  const std::string word = context.line.words.empty() ? "" : context.line.words[0];
  const auto kind = cluster::drill_of(word);
  if (!kind) {
    return context.fail(Error(Code::kUsage, word.empty() ? "which failure?" : "there is no drill " + word)
                            .with("known", kinds)
                            .with("try", context.again("drill kill")));
  }
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  const std::string node = context.line.words.size() > 1 ? context.line.words[1] : "";
  auto plan = cluster::plan_drill(**session, context.line.get("--balancer"), *kind, node);
  if (!plan.ok()) return context.fail(plan.error());
  if (context.line.has("--dry-run")) return context.print_steps(plan->steps);
  if (can_ask(context)) {
    std::fprintf(stderr, "This is a failure on purpose, clients will notice:\n");
    for (const std::string& step : plan->steps) std::fprintf(stderr, "  %s\n", step.c_str());
  }
  const std::string again = "drill " + word + (node.empty() ? "" : " " + node) + " --yes";
  const Error refused = Error(Code::kNeedsYes, "a drill is a failure on purpose: " + plan->steps.at(1))
                            .with("changed", "nothing")
                            .with("try", context.again(again));
  if (Status yes = want_yes(context, **session, refused); !yes.ok()) return context.fail(yes.error());
  auto result = cluster::drill(**session, *plan);
  context.end_progress();
  if (!result.ok()) return context.fail(result.error());
  if (context.json) {
    std::printf("%s\n", to_doc(*result, word).dump(-1, ' ', false, json::error_handler_t::replace).c_str());
  } else {
    print_result(*result);
  }
  return verdict(*result);
}

}  // namespace pgb::cli
