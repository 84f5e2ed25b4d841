// add-replica, remove-replica, logs, list, doctor.
#include <poll.h>

#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cli/app.h"
#include "cli/context.h"
#include "cli/log_filter.h"
#include "cli/since.h"
#include "cluster/verbs.h"

namespace pgb::cli {

using nlohmann::json;

int verb_add_replica(Context& context) {
  const auto count = parse_u64(context.line.get("--count", "1"));
  if (!count || *count < 1 || *count > 64) {
    return context.fail(Error(Code::kUsage, "--count is a number from 1 to 64, not " + context.line.get("--count")));
  }
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  const std::string balancer = context.line.get("--balancer");
  if (context.line.has("--dry-run")) {
    auto planned = cluster::plan_add_replica(**session, balancer, static_cast<int>(*count));
    if (!planned.ok()) return context.fail(planned.error());
    std::vector<std::string> steps;
    for (const cluster::Added& one : *planned) {
      steps.push_back("add " + one.node.name + ", id " + std::to_string(one.node.node_id) + ", port " +
                      std::to_string(one.node.port));
    }
    return context.print_steps(steps);
  }
  auto added = cluster::add_replica(**session, balancer, static_cast<int>(*count), context.line.has("--save"));
  context.end_progress();
  if (!added.ok()) return context.fail(added.error());
  for (const cluster::Added& one : *added) {
    if (context.json) {
      std::printf("%s\n", json{{"v", 1},
                               {"event", "added"},
                               {"name", one.node.name},
                               {"node_id", one.node.node_id},
                               {"port", one.node.port},
                               {"seconds", one.seconds}}
                              .dump()
                              .c_str());
    } else {
      std::printf("%s  id %d  port %u  streaming after %.1f s\n", one.node.name.c_str(), one.node.node_id,
                  unsigned{one.node.port}, one.seconds);
    }
  }
  return 0;
}

int verb_remove_replica(Context& context) {
  if (!context.line.has("--node")) {
    return context.fail(Error(Code::kUsage, "which replica?").with("try", context.again("remove-replica --node 2")));
  }
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  if (context.line.has("--dry-run")) {
    auto name = cluster::plan_remove_replica(**session, context.line.get("--balancer"), context.line.get("--node"));
    return name.ok() ? context.print_steps({"remove " + *name + " with its data and slot"})
                     : context.fail(name.error());
  }
  auto removed = cluster::remove_replica(**session, context.line.get("--balancer"), context.line.get("--node"));
  context.end_progress();
  if (!removed.ok()) return context.fail(removed.error());
  if (context.json) {
    json told{{"v", 1}, {"event", "removed"}, {"name", removed->name}};
    if (!removed->first.empty()) told["first"] = removed->first;
    std::printf("%s\n", told.dump().c_str());
  } else {
    std::printf("%s is removed with its data and slot.\n", removed->name.c_str());
    if (!removed->first.empty()) {
      std::printf(
          "The cluster file still calls it the primary: make that %s there, or the next init refuses the file.\n",
          removed->first.c_str());
    }
  }
  return 0;
}

int verb_logs(Context& context) {
  if (context.line.words.empty()) {
    return context.fail(Error(Code::kUsage, "whose log?").with("try", context.again("logs primary1")));
  }
  const std::string name = context.line.words[0];
  const auto since = since_text(context.line.get("--since"), std::time(nullptr));
  if (!since) return context.fail(no_time(context.line.get("--since")));
  constexpr const char* kAll = "1000000";
  const auto lines = parse_u64(context.line.get("--lines", since->empty() ? "200" : kAll));
  if (!lines || *lines > 1000000) return context.fail(Error(Code::kUsage, "--lines wants a number"));
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  LogFilter filter(*since);
  runtime::LogQuery query{static_cast<int>(*lines), ""};
  for (;; poll(nullptr, 0, 250)) {
    auto log = cluster::logs(**session, name, query);
    if (!log.ok()) return context.fail(log.error());
    context.end_progress();
    std::fputs(visible(filter.pass(log->text), true).c_str(), stdout);
    if (!context.line.has("--follow")) return 0;
    only_looks();
    if (std::fflush(stdout) != 0) return 1;  // nobody reads any more
    query.after = log->cursor;
    if (Status ended = (*session)->check_interrupted(); !ended.ok()) return error_info(ended.error().code).exit_code;
  }
}

int verb_list(Context& context) {
  auto options = context.open_options();
  if (!options.ok()) return context.fail(options.error());
  auto found = cluster::list(*options);
  context.end_progress();
  if (!found.ok()) return context.fail(found.error());
  json all = json::array();
  for (const cluster::Listed& one : *found) {
    if (context.json) {
      all.push_back({{"name", one.name}, {"runtime", one.runtime}, {"units", one.units}, {"running", one.running}});
    } else if (context.line.get("--output") == "name") {
      std::printf("%s\n", one.name.c_str());
    } else {
      std::printf("%-32s %-8s %zu of %zu running\n", one.name.c_str(), one.runtime.c_str(), one.running, one.units);
    }
  }
  if (context.json) std::printf("%s\n", json{{"v", 1}, {"clusters", all}}.dump().c_str());
  if (found->empty() && !context.json) std::fprintf(stderr, "No cluster exists here.\n");
  return 0;
}

int verb_doctor(Context& context) {
  auto options = context.open_options();
  if (!options.ok()) return context.fail(options.error());
  json all = json::array();
  int failed = 0;
  for (const cluster::Check& check : cluster::doctor(*options)) {
    using Kind = cluster::Check::Result;
    if (check.result == Kind::kFailed) ++failed;
    const Mark kind = check.result == Kind::kOk        ? Mark::kOk
                      : check.result == Kind::kWarning ? Mark::kWarning
                                                       : Mark::kBad;
    const char* word = kind == Mark::kOk ? "ok" : kind == Mark::kWarning ? "warning" : "failed";
    all.push_back({{"what", check.what}, {"result", word}, {"text", check.text}});
    if (!context.json)
      std::printf("%s %-17s %s\n", mark(context.out, kind).c_str(), check.what.c_str(), visible(check.text).c_str());
  }
  if (context.json) std::printf("%s\n", json{{"v", 1}, {"checks", all}}.dump().c_str());
  if (failed == 0) return 0;
  std::fflush(stdout);
  std::fprintf(stderr, "error: %d of %zu checks failed\n", failed, all.size());
  return 4;
}

}  // namespace pgb::cli
