// pause, resume, reinit.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/ask.h"
#include "cli/context.h"
#include "cli/terminal.h"
#include "cluster/pause.h"
#include "cluster/reinit.h"

namespace pgb::cli {

using nlohmann::json;

static int print_pause(Context& context, const cluster::PauseResult& done, bool paused) {
  context.end_progress();
  if (context.json) {
    std::printf("%s\n", json{{"v", 1},
                             {"event", paused ? "pause" : "resume"},
                             {"group", done.group},
                             {"changed", done.changed},
                             {"since", done.pause.since},
                             {"by", done.pause.by},
                             {"leader", done.leader}}
                            .dump()
                            .c_str());
    return 0;
  }
  const char* group = done.group.c_str();
  const std::string since = visible(done.pause.since), by = visible(done.pause.by);
  if (paused && done.changed) {
    std::printf("%s is paused: nobody takes over, whatever happens, until\n  %s\n", group,
                context.again("resume").c_str());
  } else if (paused) {
    std::printf("%s is paused already, since %s by %s.\n", group, since.c_str(), by.c_str());
  } else if (done.changed) {
    std::printf("%s goes on: it was paused since %s by %s.\n", group, since.c_str(), by.c_str());
  } else {
    std::printf("%s is not paused.\n", group);
  }
  return 0;
}

static int plan_pause(Context& context, bool pausing) {
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  std::string group;
  auto state = cluster::look_at_pause(**session, context.line.get("--balancer"), &group);
  if (!state.ok()) return context.fail(state.error());
  std::vector<std::string> steps;
  if (state->pause.has_value() != pausing) steps.push_back((pausing ? "pause " : "resume ") + group);
  return context.print_steps(steps);
}

int verb_pause(Context& context) {
  if (context.line.has("--dry-run")) return plan_pause(context, true);
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  auto done = cluster::pause(**session, context.line.get("--balancer"));
  return done.ok() ? print_pause(context, *done, true) : context.fail(done.error());
}

int verb_resume(Context& context) {
  if (context.line.has("--dry-run")) return plan_pause(context, false);
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  auto done = cluster::resume(**session, context.line.get("--balancer"), context.line.has("--force"));
  return done.ok() ? print_pause(context, *done, false) : context.fail(done.error());
}

int verb_reinit(Context& context) {
  if (context.line.words.empty()) {
    return context.fail(Error(Code::kUsage, "which replica?").with("try", context.again("reinit replica1")));
  }
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  const std::string node = context.line.words[0], balancer = context.line.get("--balancer");
  auto plan = cluster::plan_reinit(**session, balancer, node);
  if (!plan.ok()) return context.fail(plan.error());
  if (context.line.has("--dry-run")) {
    return context.print_steps({"throw the data of " + node + " away", "copy " + plan->primary + " to " + node});
  }
  const std::string text = "reinit throws the data of " + node + " away and copies " + plan->primary + " anew";
  if (can_ask(context)) std::fprintf(stderr, "%s.\n", text.c_str());
  const Error refused =
      Error(Code::kNeedsYes, text).with("changed", "nothing").with("try", context.again("reinit " + node + " --yes"));
  if (Status yes = want_yes(context, **session, refused); !yes.ok()) return context.fail(yes.error());
  auto done = cluster::reinit(**session, balancer, node);
  context.end_progress();
  if (!done.ok()) return context.fail(done.error());
  if (context.json) {
    std::printf("%s\n", json{{"v", 1},
                             {"event", "reinit"},
                             {"group", done->what.group},
                             {"node", node},
                             {"from", done->what.primary},
                             {"seconds", done->seconds}}
                            .dump()
                            .c_str());
  } else {
    std::printf("%s is a new copy of %s and streams after %.1f s.\n", node.c_str(), done->what.primary.c_str(),
                done->seconds);
  }
  return 0;
}

}  // namespace pgb::cli
