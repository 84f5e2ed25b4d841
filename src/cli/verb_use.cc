// url, env, psql, open: how to connect.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/strings.h"
#include "cli/context.h"
#include "cli/report.h"
#include "cluster/verbs.h"
#include "os/subprocess.h"

namespace pgb::cli {

static cluster::UrlOptions url_options(const Context& context) {
  cluster::UrlOptions options;
  if (context.line.has("--direct")) options.direct = context.line.get("--direct");
  options.role = context.line.get("--role");
  options.balancer = context.line.get("--balancer");
  options.show_password = context.line.has("--show-password");
  return options;
}

static Result<std::string> ask_url(Context& context, const cluster::UrlOptions& options) {
  auto session = context.open();
  if (!session.ok()) return std::move(session).error();
  return cluster::url(**session, options);
}

int verb_url(Context& context) {
  cluster::UrlOptions options = url_options(context);
  options.format = context.line.get("--format", "uri");
  if (options.format == "pgpass" && !options.show_password) {  // such a line is nothing without one
    return context.fail(Error(Code::kUsage, "a pgpass line holds the password").with("try", "add --show-password"));
  }
  auto text = ask_url(context, options);
  if (!text.ok()) return context.fail(text.error());
  std::printf("%s\n", text->c_str());
  return 0;
}

int verb_env(Context& context) {
  cluster::UrlOptions options = url_options(context);
  options.format = "env";
  auto text = ask_url(context, options);
  if (!text.ok()) return context.fail(text.error());
  for (const std::string& line : split(*text, '\n')) {
    const size_t equals = line.find('=');
    std::printf("%s=%s\n", line.substr(0, equals).c_str(), shell_word(line.substr(equals + 1)).c_str());
  }
  return 0;
}

// Becomes psql. The password goes by the environment: arguments can be read by everybody.
int verb_psql(Context& context) {
  cluster::UrlOptions options = url_options(context);
  options.format = "env";
  options.show_password = true;
  auto text = ask_url(context, options);
  if (!text.ok()) return context.fail(text.error());
  auto program = os::find_program("psql");
  if (!program.ok()) {
    return context.fail(
        Error(Code::kNoPostgres, "psql is not on this machine").with("try", "apt-get install postgresql-client"));
  }
  os::forget_libpq();  // the user's own are of another server
  for (const std::string& line : split(*text, '\n')) {
    const size_t equals = line.find('=');
    setenv(line.substr(0, equals).c_str(), line.substr(equals + 1).c_str(), 1);
  }
  context.end_progress();
  std::vector<std::string> words = {"psql"};
  words.insert(words.end(), context.line.words.begin(), context.line.words.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(program->c_str(), argv.data());
  return context.fail(Error(Code::kIo, "cannot run " + *program));
}

// A browser is started where somebody sits before a screen.
int verb_open(Context& context) {
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  const auto address = cluster::web_url(**session, context.line.get("--balancer"));
  if (!address.ok()) return context.fail(address.error());
  std::printf("%s\n", address->c_str());
  const bool screen = std::getenv("DISPLAY") != nullptr || std::getenv("WAYLAND_DISPLAY") != nullptr;
  if (!screen || isatty(STDOUT_FILENO) == 0 || !os::find_program("xdg-open").ok()) return 0;
  os::SpawnOptions browser;
  browser.argv = {"xdg-open", *address};
  const auto started = os::spawn_detached(browser);
  return started.ok() ? 0 : context.fail(started.error());
}

}  // namespace pgb::cli
