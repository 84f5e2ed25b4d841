#include "cli/app.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "cli/context.h"
#include "cli/report.h"
#include "cli/screen.h"

namespace pgb::cli {

namespace {

std::atomic<int> interrupted{0};
std::atomic<bool> looks{false};

void on_signal(int signal) {
  if (interrupted.exchange(signal) != 0) {
    restore_screen();
    std::_Exit(128 + signal);
  }
  if (looks) return;
  constexpr char kText[] = "\nfinishing the step in hand (again: stop at once)\n";
  [[maybe_unused]] const auto n = ::write(2, kText, sizeof kText - 1);
}

struct Row {
  const char* name;
  Verb function;
};

constexpr Row kFunctions[] = {
    {"new", verb_new},
    {"validate", verb_validate},
    {"plan", verb_plan},
    {"init", verb_init},
    {"status", verb_status},
    {"top", verb_top},
    {"destroy", verb_destroy},
    {"stop", verb_stop},
    {"start", verb_start},
    {"restart", verb_restart},
    {"list", verb_list},
    {"logs", verb_logs},
    {"add-replica", verb_add_replica},
    {"doctor", verb_doctor},
    {"events", verb_events},
    {"remove-replica", verb_remove_replica},
    {"url", verb_url},
    {"psql", verb_psql},
    {"env", verb_env},
    {"open", verb_open},
    {"help", verb_help},
    {"schema", verb_schema},
    {"completion", verb_completion},
    {"version", verb_version},
    {"switchover", verb_switchover},
    {"failover", verb_failover},
    {"history", verb_history},
    {"pause", verb_pause},
    {"resume", verb_resume},
    {"reinit", verb_reinit},
    {"why", verb_why},
    {"drill", verb_drill},
};

// Of words that could not be understood: is a program to read the answer?
bool wants_json(const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--json" || words[i] == "--output=json" || words[i] == "-o=json") return true;
    if (words[i] == "json" && i > 0 && (words[i - 1] == "-o" || words[i - 1] == "--output")) return true;
  }
  return false;
}

}  // namespace

void only_looks() { looks = true; }

Verb find_function(const std::string& verb) {
  for (const Row& row : kFunctions) {
    if (verb == row.name) return row.function;
  }
  return nullptr;
}

int run(const std::vector<std::string>& words) {
  auto line = parse_command_line(words);
  if (!line.ok()) {
    return report(line.error(), wants_json(words));
  }
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  // A terminal that is gone: what was begun is undone all the same. With nohup it goes on.
  if (std::signal(SIGHUP, on_signal) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
  Context context(std::move(*line), &interrupted);
  const int code = find_function(std::string(context.line.verb->name))(context);
  context.end_progress();
  if (std::fflush(stdout) == 0 || code != 0) return code;
  return report(Error(Code::kIo, "cannot write to standard output"), false);
}

}  // namespace pgb::cli
