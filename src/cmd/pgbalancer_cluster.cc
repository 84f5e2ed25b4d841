// The cluster manager's command line, first cut: old flags and verbs, plain output.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/strings.h"
#include "cluster/status.h"
#include "cluster/verbs.h"
#include "model/schema.h"
#include "model/topology_json.h"

namespace {

using namespace pgb;
using cluster::Session;

std::atomic<int> interrupted{0};

struct Args {
  std::string verb, config = "pgbalancer_cluster.json", runtime, balancer, node, direct, format = "uri";
  std::vector<std::string> names;
  int count = 1;
  bool verbose = false, json = false, yes = false, keep_data = false, save = false, flag_form = false, quiet = false;
  bool show_password = false, exit_code = false;
};

int report(const Error& error) {
  const ErrorInfo& info = error_info(error.code);
  std::fprintf(stderr, "error: %s\n", error.message.c_str());
  for (const auto& [label, text] : error.details) std::fprintf(stderr, "  %-9s %s\n", label.c_str(), text.c_str());
  std::fprintf(stderr, "  %-9s %s (exit %d)\n", "code", std::string(info.id).c_str(), info.exit_code);
  return info.exit_code;
}

const std::vector<std::string_view> kVerbs = {"init",  "status", "destroy", "add-replica", "remove-replica", "stop",
                                              "start", "restart", "plan",   "validate",    "list",           "logs",
                                              "url",   "doctor",  "schema", "version",     "help"};

Result<Args> parse(int argc, char** argv) {
  Args args;
  if (const char* file = std::getenv("PGBALANCER_CONFIG"); file != nullptr && *file != '\0') args.config = file;
  std::map<std::string, std::string*> texts = {{"--config", &args.config},     {"-c", &args.config},
                                               {"--runtime", &args.runtime},   {"--balancer", &args.balancer},
                                               {"--node", &args.node},         {"--direct", &args.direct},
                                               {"--format", &args.format}};
  std::map<std::string, bool*> flags = {{"-v", &args.verbose},      {"--verbose", &args.verbose}, {"--json", &args.json},
                                        {"-y", &args.yes},          {"--yes", &args.yes},         {"-q", &args.quiet},
                                        {"--save", &args.save},     {"--keep-data", &args.keep_data},
                                        {"--quiet", &args.quiet},   {"--exit-code", &args.exit_code},
                                        {"--show-password", &args.show_password}};
  const auto set_verb = [&](const std::string& verb) -> Status {
    if (!args.verb.empty()) {
      return Error(Code::kUsage, "two actions at once: " + args.verb + " and " + verb).with("try", "one after the other");
    }
    args.verb = verb;
    return {};
  };
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i], value;
    const size_t equals = word.find('=');
    const bool has_value = word.rfind("--", 0) == 0 && equals != std::string::npos;
    if (has_value) {
      value = word.substr(equals + 1);
      word.resize(equals);
    }
    if (texts.count(word) != 0 || word == "--count") {
      if (!has_value && i + 1 >= argc) return Error(Code::kUsage, word + " needs a value");
      if (!has_value) value = argv[++i];
      if (word != "--count") {
        *texts[word] = value;
      } else if (const auto number = parse_u64(value); number && *number >= 1 && *number <= 64) {
        args.count = static_cast<int>(*number);
      } else {
        return Error(Code::kUsage, "--count is a number from 1 to 64, not " + value);
      }
    } else if (flags.count(word) != 0) {
      *flags[word] = true;
    } else if (word == "--init" || word == "--status" || word == "--destroy" || word == "--add-replica" ||
               word == "--remove-replica") {
      PGB_TRY(set_verb(word.substr(2)));
      args.flag_form = true;
    } else if (word == "-h" || word == "--help") {
      args.verb = "help";
    } else if (word == "--version") {
      args.verb = "version";
    } else if (word[0] == '-') {
      std::vector<std::string_view> known = {"--init", "--status", "--destroy", "--add-replica", "--remove-replica"};
      for (const auto& [name, target] : texts) known.push_back(name);
      for (const auto& [name, target] : flags) known.push_back(name);
      Error error(Code::kUsage, "unknown option " + word);
      if (const auto near = nearest(word, known); !near.empty()) error.with("try", "did you mean " + std::string(near) + "?");
      return error;
    } else if (args.verb.empty()) {
      PGB_TRY(set_verb(word));
    } else {
      args.names.push_back(word);
    }
  }
  if (args.verb.empty()) args.verb = "help";
  return args;
}

Result<std::unique_ptr<Session>> open(const Args& args) {
  cluster::OpenOptions options;
  options.file = args.config;
  options.runtime = args.runtime;
  options.interrupted = &interrupted;
  if (args.verbose) {
    options.trace = [](const std::string& what, std::chrono::milliseconds took) {
      std::fprintf(stderr, "  %s (%lld ms)\n", what.c_str(), static_cast<long long>(took.count()));
    };
  }
  if (!args.quiet) {
    options.on_event = [](const cluster::Event& event) {
      static const char* const kWords[] = {"", "waiting, ", "ok, ", "failed, "};
      std::fprintf(stderr, "%s: %s%s (%.1fs)\n", event.id.c_str(), kWords[static_cast<int>(event.state)],
                   event.text.c_str(), event.seconds);
    };
  }
  auto session = Session::open(std::move(options));
  if (session.ok() && !(*session)->runtime_note.empty()) std::fprintf(stderr, "%s\n", (*session)->runtime_note.c_str());
  return session;
}

int print_status(const Args& args, const cluster::StatusDocument& doc) {
  if (args.json) {
    std::printf("%s\n", to_json(doc).c_str());
  } else {
    std::printf("%s  %s   %s   (asked, %.0f ms)\n", doc.cluster.c_str(), doc.state.c_str(), doc.runtime.c_str(),
                doc.seconds * 1000);
    for (const std::string& note : doc.notes) std::printf("  ! %s\n", note.c_str());
    for (const auto& lb : doc.balancers) {
      std::printf("\n%s  %s   %s:%u   query %.1f ms   %s\n", lb.name.c_str(), lb.state.c_str(), lb.address.c_str(),
                  unsigned{lb.port}, lb.query_ms, lb.durability.c_str());
      std::printf("  %-14s %-8s %-14s %-22s %-8s %3s  %s\n", "NODE", "ROLE", "STATE", "ADDRESS", "PG", "TL", "LAG");
      for (const auto& node : lb.nodes) {
        const std::string lag = node.lag_bytes ? std::to_string(*node.lag_bytes) + " B" : "-";
        std::printf("  %-14s %-8s %-14s %-22s %-8s %3d  %s\n", node.name.c_str(), node.role.c_str(), node.state.c_str(),
                    (node.address + ":" + std::to_string(node.port)).c_str(), node.version.c_str(), node.timeline,
                    lag.c_str());
      }
    }
  }
  if (!args.exit_code) return 0;
  return doc.state == "healthy" ? 0 : doc.state == "degraded" ? 10 : doc.state == "no_primary" ? 11 : 12;
}

int run_init(const Args& args, Session& session) {
  auto made = cluster::init(session);
  if (!made.ok()) return report(made.error());
  const std::string name = made->cluster.cluster_name;
  if (made->made == 0) {
    std::printf("Cluster %s is as %s says. Nothing to do (%.1f s).\n", name.c_str(), args.config.c_str(), made->seconds);
    return 0;
  }
  const model::Balancer& lb = made->cluster.balancers[0];
  std::printf("Cluster %s is up in %.1f s.\n\n  connect   psql \"postgresql://%s@127.0.0.1:%u/%s\"\n"
              "  password  pgbalancer_cluster url --show-password --config %s\n"
              "  look      pgbalancer_cluster status --config %s\n  undo      pgbalancer_cluster destroy --config %s\n",
              name.c_str(), made->seconds, made->cluster.postgres.superuser.c_str(), unsigned{lb.port},
              made->cluster.postgres.database.c_str(), args.config.c_str(), args.config.c_str(), args.config.c_str());
  for (const std::string& note : made->notes) std::printf("  note      %s\n", note.c_str());
  return 0;
}

int run_destroy(const Args& args, Session& session) {
  auto preview = cluster::look_before_destroy(session);
  if (!preview.ok()) return report(preview.error());
  const std::string& name = session.wanted.cluster_name;
  if (!args.flag_form && !args.yes && preview->exists) {
    return report(Error(Code::kNeedsYes, "destroy removes cluster " + name + " and all its data")
                      .with("changed", "nothing")
                      .with("try", "pgbalancer_cluster destroy --yes --config " + args.config));
  }
  auto done = cluster::destroy(session, args.keep_data);
  if (!done.ok()) return report(done.error());
  if (!done->left.empty()) {
    Error error(Code::kIo, "cluster " + name + " is not gone");
    for (const std::string& left : done->left) error.with("left", left);
    return report(error);
  }
  if (!done->existed) {
    std::printf("Nothing of cluster %s exists.\n", name.c_str());
  } else {
    std::printf("Gone in %.1f s. Looked again: nothing labelled %s is left.\n", done->seconds, name.c_str());
  }
  return 0;
}

int run_list(const Args& args) {
  cluster::OpenOptions options;
  options.file = args.config;
  auto found = cluster::list(options);
  if (!found.ok()) return report(found.error());
  for (const auto& one : *found) {
    std::printf("%-30s %-8s %zu of %zu running\n", one.name.c_str(), one.runtime.c_str(), one.running, one.units);
  }
  return 0;
}

int run_doctor(const Args& args) {
  cluster::OpenOptions options;
  options.file = args.config;
  int code = 0;
  for (const auto& check : cluster::doctor(options)) {
    static const char* const kWords[] = {"ok", "!!", "XX"};
    std::printf("%s  %-17s %s\n", kWords[static_cast<int>(check.result)], check.what.c_str(), check.text.c_str());
    if (check.result == cluster::Check::Result::kFailed) code = 4;
  }
  return code;
}

int run_validate(const Args& args) {
  auto loaded = model::load_cluster(args.config);
  if (!loaded.ok()) return report(loaded.error());
  std::printf("%s is right: cluster %s\n", args.config.c_str(), loaded->cluster_name.c_str());
  return 0;
}

int run_plan(Session& session) {
  auto steps = cluster::plan(session);
  if (!steps.ok()) return report(steps.error());
  for (const std::string& step : *steps) std::printf("%s\n", step.c_str());
  if (steps->empty()) std::printf("Nothing to do.\n");
  return 0;
}

int done(const Status& status) { return status.ok() ? 0 : report(status.error()); }

int run_on_session(const Args& args, Session& session) {
  const std::string name = args.names.empty() ? args.node : args.names[0];
  if (args.verb == "init") return run_init(args, session);
  if (args.verb == "destroy") return run_destroy(args, session);
  if (args.verb == "plan") return run_plan(session);
  if (args.verb == "stop") return done(cluster::stop(session, name));
  if (args.verb == "start") return done(cluster::start(session, name));
  if (args.verb == "restart") return done(cluster::restart(session, name));
  if (args.verb == "status") {
    auto document = cluster::status(session);
    return document.ok() ? print_status(args, *document) : report(document.error());
  }
  if (args.verb == "add-replica") {
    auto added = cluster::add_replica(session, args.balancer, args.count, args.save);
    if (!added.ok()) return report(added.error());
    for (const auto& one : *added) {
      std::printf("%s  id %d  port %u  streaming after %.1f s\n", one.node.name.c_str(), one.node.node_id,
                  unsigned{one.node.port}, one.seconds);
    }
    return 0;
  }
  if (args.verb == "remove-replica") {
    auto removed = cluster::remove_replica(session, args.balancer, name);
    if (!removed.ok()) return report(removed.error());
    std::printf("%s is removed with its data and slot.\n", removed->c_str());
    return 0;
  }
  cluster::UrlOptions url;
  url.direct = args.direct;
  url.balancer = args.balancer;
  url.show_password = args.show_password;
  url.format = args.format;
  auto text = args.verb == "logs" ? cluster::logs(session, name, 200) : cluster::url(session, url);
  if (!text.ok()) return report(text.error());
  std::printf("%s\n", text->c_str());
  return 0;
}

int help() {
  std::string verbs;
  for (std::string_view verb : kVerbs) verbs += "  " + std::string(verb) + "\n";
  std::printf("Usage: pgbalancer_cluster [--config FILE] [options] VERB\n\n%s\n"
              "  --init --status --destroy --add-replica --remove-replica  the same as the verbs\n"
              "  -c, --config FILE   cluster file (default pgbalancer_cluster.json)\n"
              "  -v, --verbose       every engine call and command, with its time\n"
              "      --runtime KIND  docker or process, instead of what the file says\n"
              "      --balancer NAME --node NODE --count N --save --yes --keep-data --json --quiet --exit-code\n"
              "      --show-password --direct NODE --format uri|dsn|jdbc|env|pgpass\n",
              verbs.c_str());
  return 0;
}

void on_signal(int signal) {
  if (interrupted.exchange(signal) != 0) std::_Exit(128 + signal);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  auto args = parse(argc, argv);
  if (!args.ok()) return report(args.error());
  if (args->verb == "help") return help();
  if (args->verb == "version") return std::printf("pgbalancer_cluster %s\n", PGB_VERSION) < 0;
  if (args->verb == "schema") return std::printf("%s\n", model::json_schema().c_str()) < 0;
  if (args->verb == "validate") return run_validate(*args);
  if (args->verb == "list") return run_list(*args);
  if (args->verb == "doctor") return run_doctor(*args);
  bool known = false;
  for (std::string_view verb : kVerbs) known = known || verb == args->verb;
  if (!known) {
    Error error(Code::kUsage, "there is no verb " + args->verb);
    if (const auto near = nearest(args->verb, kVerbs); !near.empty()) error.with("try", "did you mean " + std::string(near) + "?");
    return report(error);
  }
  auto session = open(*args);
  if (!session.ok()) return report(session.error());
  return run_on_session(*args, **session);
}
