// What every verb gets: the words, the terminals, and how to answer.
#pragma once

#include <memory>
#include <string>

#include "cli/command_line.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cluster/session.h"

namespace pgb::cli {

class Context {
 public:
  Context(CommandLine line, const std::atomic<int>* interrupted);

  const CommandLine line;
  const bool json;
  const Terminal out, err;

  std::string file() const;  // --config, PGBALANCER_CONFIG, or the default

  // How to say a command again, with this cluster file.
  std::string again(const std::string& verb) const;

  // What --watch says, in milliseconds: 100 to an hour, a second unless told; kUsage for anything else.
  Result<int> watch_interval() const;

  // Options for the cluster layer; progress is shown until the context ends. kUsage for a bad --timeout.
  Result<cluster::OpenOptions> open_options();
  Result<std::unique_ptr<cluster::Session>> open();

  void end_progress() { progress_.reset(); }  // the answer comes next

  // Prints the error where it belongs; returns its exit code.
  int fail(const Error& error);
  // What --dry-run found out; returns 0.
  int print_steps(const std::vector<std::string>& steps);
  int done(const Status& status) { return status.ok() ? 0 : fail(status.error()); }

 private:
  const std::atomic<int>* interrupted_;
  std::unique_ptr<Progress> progress_;
};

// What --color and --no-color say: auto, always, never.
std::string color_of(const CommandLine& line);

// One function a verb; each returns the exit code.
using Verb = int (*)(Context&);
Verb find_function(const std::string& verb);  // every row of the table has one (tested)

// verb_*.cc
int verb_new(Context&);
int verb_validate(Context&);
int verb_plan(Context&);
int verb_init(Context&);
int verb_status(Context&);
int verb_top(Context&);
int verb_destroy(Context&);
int verb_stop(Context&);
int verb_start(Context&);
int verb_restart(Context&);
int verb_list(Context&);
int verb_add_replica(Context&);
int verb_remove_replica(Context&);
int verb_logs(Context&);
int verb_switchover(Context&);
int verb_failover(Context&);
int verb_history(Context&);
int verb_pause(Context&);
int verb_resume(Context&);
int verb_reinit(Context&);
int verb_why(Context&);
int verb_drill(Context&);
int verb_doctor(Context&);
int verb_events(Context&);
int verb_url(Context&);
int verb_psql(Context&);
int verb_env(Context&);
int verb_open(Context&);
int verb_completion(Context&);
int verb_help(Context&);
int verb_schema(Context&);
int verb_version(Context&);

}  // namespace pgb::cli
