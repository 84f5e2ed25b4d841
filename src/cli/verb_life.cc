// init, plan, destroy, stop, start, restart: what changes a whole cluster.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/ask.h"
#include "cli/context.h"
#include "cluster/rolling_restart.h"
#include "cluster/verbs.h"

namespace pgb::cli {

using nlohmann::json;

static void print_changes(const cluster::InitResult& made) {
  for (const std::string& change : made.changed) std::printf("  changed   %s\n", change.c_str());
  for (const std::string& what : made.pending) std::printf("  pending   %s\n", what.c_str());
  for (const std::string& note : made.notes) std::printf("  note      %s\n", note.c_str());
}

static void print_connect(const Context& context, const cluster::InitResult& made) {
  const model::Cluster& cluster = made.cluster;
  size_t replicas = 0;
  std::string primaries, balancers;
  for (const model::Balancer& balancer : cluster.balancers) {
    replicas += balancer.replicas.size();
    primaries += (primaries.empty() ? "" : ", ") + balancer.primary.name;
    balancers += (balancers.empty() ? "" : ", ") + balancer.name;
  }
  std::printf("Cluster %s is up in %.1f s: %s, %zu replicas streaming, balancer %s.\n\n", cluster.cluster_name.c_str(),
              made.seconds, primaries.c_str(), replicas, balancers.c_str());
  const std::string host = cluster.bind_address == "0.0.0.0" ? "127.0.0.1" : cluster.bind_address;
  for (const model::Balancer& balancer : cluster.balancers) {
    std::printf("  connect   psql \"postgresql://%s@%s:%u/%s\"\n", cluster.postgres.superuser.c_str(), host.c_str(),
                unsigned{balancer.port}, cluster.postgres.database.c_str());
  }
  const std::string password = context.again("url --show-password");
  std::printf("  password  %s\n", password.c_str());
  for (const model::Balancer& balancer : cluster.balancers) {
    std::printf("  web       %s\n", cluster::web_url(cluster, balancer).c_str());
  }
  std::printf("  look      %s\n  undo      %s\n", context.again("status --watch").c_str(),
              context.again("destroy").c_str());
  print_changes(made);
}

// Nothing had to be made: what became of changes in the file.
void print_unchanged(const Context& context, const cluster::InitResult& made) {
  const std::string& name = made.cluster.cluster_name;
  const std::string file = context.file();
  if (!made.pending.empty()) {
    std::printf("Cluster %s is not yet as %s says (%.1f s).\n", name.c_str(), file.c_str(), made.seconds);
  } else if (!made.changed.empty()) {
    std::printf("Cluster %s is as %s says (%.1f s).\n", name.c_str(), file.c_str(), made.seconds);
  } else {
    std::printf("Cluster %s is as %s says. Nothing to do (%.1f s).\n", name.c_str(), file.c_str(), made.seconds);
  }
  print_changes(made);
}

static Result<cluster::InitOptions> init_options(const Context& context) {
  cluster::InitOptions options;
  options.prune = context.line.has("--prune");
  options.set_free_ports = context.line.has("--set-free-ports");
  if (options.set_free_ports && context.file() == "-") {
    return Error(Code::kUsage, "--set-free-ports writes into the cluster file, which is standard input")
        .with("try", "--config FILE");
  }
  return options;
}

int verb_init(Context& context) {
  if (context.line.has("--dry-run")) return verb_plan(context);
  auto options = init_options(context);
  if (!options.ok()) return context.fail(options.error());
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  if (context.line.has("--pull") && (*session)->runtime->kind() == model::RuntimeKind::kProcess) {
    std::fprintf(stderr, "--pull %s: local processes use no images\n", context.line.get("--pull").c_str());
  }
  auto made = cluster::init(**session, *options);
  context.end_progress();
  if (!made.ok()) return context.fail(made.error());
  if (context.json) {
    std::printf("%s\n", json{{"v", 1},
                             {"event", "result"},
                             {"ok", true},
                             {"changed", made->made + made->changed.size()},
                             {"pending", made->pending},
                             {"seconds", made->seconds}}
                            .dump()
                            .c_str());
  } else if (made->made == 0) {
    print_unchanged(context, *made);
  } else {
    print_connect(context, *made);
  }
  return 0;
}

int verb_plan(Context& context) {
  auto options = init_options(context);
  if (!options.ok()) return context.fail(options.error());
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  auto steps = cluster::plan(**session, *options);
  if (!steps.ok()) return context.fail(steps.error());
  context.print_steps(*steps);
  return context.line.has("--exit-code") && !steps->empty() ? 20 : 0;
}

// The verb asks where somebody can answer; the old flag never did.
static Status confirm(const Context& context, const cluster::Session& session, const std::string& name,
                      const cluster::DestroyPreview& preview) {
  if (context.line.flag_form || context.line.has("--yes") || !preview.exists) return {};
  const Error refused = Error(Code::kNeedsYes, "destroy removes cluster " + name + " and all its data")
                            .with("changed", "nothing")
                            .with("try", context.again("destroy --yes"));
  if (!can_ask(context)) return refused;
  std::fprintf(stderr, "This removes cluster %s and all its data:\n", name.c_str());
  for (const auto& [label, text] : preview.what) {
    std::fprintf(stderr, "  %-11s %s\n", label.c_str(), visible(text).c_str());
  }
  std::fprintf(stderr, "Type the cluster's name to go on: ");
  const auto read = read_answer(session);
  if (!read.ok()) return read.error();
  const std::string& answer = *read;
  if (answer == name) return {};
  return Error(Code::kNeedsYes, "that is not " + name).with("changed", "nothing");
}

int verb_destroy(Context& context) {
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  auto preview = cluster::look_before_destroy(**session);
  if (!preview.ok()) return context.fail(preview.error());
  const std::string name = (*session)->wanted.cluster_name;
  if (context.line.has("--dry-run")) {
    for (const std::string& unit : preview->units) std::printf("remove %s\n", unit.c_str());
    if (!preview->exists) std::printf("Nothing of cluster %s exists.\n", name.c_str());
    return 0;
  }
  if (const Status yes = confirm(context, **session, name, *preview); !yes.ok()) return context.fail(yes.error());
  auto gone = cluster::destroy(**session, context.line.has("--keep-data"));
  context.end_progress();
  if (!gone.ok()) return context.fail(gone.error());
  if (!gone->left.empty()) {
    Error error(Code::kIo, "cluster " + name + " is not gone");
    for (const std::string& left : gone->left) error.with("left", left);
    return context.fail(std::move(error).with("try", context.again("destroy")));
  }
  if (context.json) {
    std::printf(
        "%s\n",
        json{{"v", 1}, {"event", "result"}, {"ok", true}, {"existed", gone->existed}, {"seconds", gone->seconds}}
            .dump()
            .c_str());
  } else if (!gone->existed) {
    std::printf("Nothing of cluster %s exists.\n", name.c_str());
  } else if (context.line.has("--keep-data")) {
    std::printf("Removed in %.1f s; the data is kept, init takes it up again.\n", gone->seconds);
  } else {
    std::printf("Gone in %.1f s. Looked again: nothing of %s is left.\n", gone->seconds, name.c_str());
  }
  return 0;
}

static int on_units(Context& context, Status (*verb)(cluster::Session&, const std::string&)) {
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  const std::string name = context.line.words.empty() ? "" : context.line.words[0];
  if (!context.line.has("--dry-run")) return context.done(verb(**session, name));
  std::vector<std::string> steps;
  for (const bool stopping : {true, false}) {
    if (verb == (stopping ? cluster::start : cluster::stop)) continue;
    auto units = cluster::units_to_change(**session, name, !stopping);
    if (!units.ok()) return context.fail(units.error());
    if (stopping && verb == cluster::restart) {
      for (const std::string& unit : *units) steps.push_back("restart " + unit);
    } else {
      for (const std::string& unit : *units) steps.push_back((stopping ? "stop " : "start ") + unit);
    }
  }
  return context.print_steps(steps);
}

int verb_stop(Context& context) { return on_units(context, cluster::stop); }
int verb_start(Context& context) { return on_units(context, cluster::start); }

int verb_restart(Context& context) {
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  const std::string name = context.line.words.empty() ? "" : context.line.words[0];
  if (!cluster::restarts_in_turn(**session, name)) return on_units(context, cluster::restart);
  if (!context.line.has("--dry-run")) return context.done(cluster::restart_in_turn(**session, name));
  auto steps = cluster::plan_restart_in_turn(**session, name);
  return steps.ok() ? context.print_steps(*steps) : context.fail(steps.error());
}

}  // namespace pgb::cli
