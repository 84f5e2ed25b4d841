#include "control/admin_console.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/log.h"
#include "pgwire/error_response.h"

namespace pgb::control {
namespace {

using proxy::ConsoleAnswer;
using proxy::ConsoleAsker;
namespace sqlstate = pgwire::sqlstate;

constexpr size_t kMostAtOnce = 16;       // commands; those that wait hold up no others
constexpr char kLongestWait[] = "3600";  // seconds that PAUSE and WAIT_CLOSE take at most

// What a session may say of itself: true for everyone, and nothing has to be done about it.
struct Setting {
  const char* name;
  const char* value;
};
constexpr Setting kSettings[] = {{"client_encoding", "UTF8"},
                                 {"default_transaction_isolation", "read committed"},
                                 {"standard_conforming_strings", "on"},
                                 {"datestyle", "ISO, MDY"},
                                 {"timezone", "UTC"},
                                 {"transaction_isolation", "read committed"},
                                 {"server_version", PGB_VERSION "/pgbalancer"}};

// What drivers set when they log in, or at a client's word: none of it means anything here, where there are no
// transactions and all is text. Sorted.
constexpr std::string_view kDriversSet[] = {"application_name",
                                            "bytea_output",
                                            "characteristics",
                                            "client_encoding",
                                            "client_min_messages",
                                            "datestyle",
                                            "default_transaction_deferrable",
                                            "default_transaction_isolation",
                                            "default_transaction_read_only",
                                            "extra_float_digits",
                                            "idle_in_transaction_session_timeout",
                                            "idle_session_timeout",
                                            "intervalstyle",
                                            "jit",
                                            "lc_messages",
                                            "lc_monetary",
                                            "lc_numeric",
                                            "lc_time",
                                            "lock_timeout",
                                            "names",
                                            "role",
                                            "search_path",
                                            "standard_conforming_strings",
                                            "statement_timeout",
                                            "time",
                                            "timezone",
                                            "transaction",
                                            "transaction_isolation",
                                            "transaction_read_only",
                                            "xmloption"};

// SET [SESSION | LOCAL] name …
Status check_set(const std::vector<Word>& words) {
  const auto word = [&](size_t i) { return i < words.size() ? words[i].text : std::string(); };
  const std::string name = word(1) == "session" || word(1) == "local" ? word(2) : word(1);
  if (std::binary_search(std::begin(kDriversSet), std::end(kDriversSet), name)) return Status();
  for (const ConfigItem& item : config_items(BalancerConfig())) {
    if (item.key != name) continue;
    return Error(Code::kUsage, name + " cannot be set here")
        .with("try", "change the configuration's file, then RELOAD");
  }
  return Error(Code::kUsage, "there is no parameter \"" + name + "\" to be set here").with("try", "SHOW HELP");
}

ConsoleAnswer refusal(const Error& error) {
  pgwire::ErrorResponse out;
  out.message = error.message;
  for (const auto& [label, text] : error.details) {
    std::string& part = label == "try" ? out.hint : out.detail;
    part += (part.empty() ? "" : "; ") + (label == "try" ? text : label + ": " + text);
  }
  switch (error.code) {
    case Code::kUsage: out.sqlstate = sqlstate::kSyntaxError; break;
    case Code::kAuth: out.sqlstate = "42501"; break;
    case Code::kNotFound:
    case Code::kNoNode: out.sqlstate = "42704"; break;
    case Code::kNotReady: out.sqlstate = sqlstate::kTooManyConnections; break;
    case Code::kConfig:
    case Code::kConfigUnreadable: out.sqlstate = "F0000"; break;
    default: out.sqlstate = sqlstate::kInternalError;
  }
  ConsoleAnswer answer;
  answer.error = std::move(out);
  return answer;
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string help() {
  std::string shows;
  for (const View& view : console_views()) {
    if (!view.help.empty()) shows += (shows.empty() ? "" : "|") + upper(std::string(view.name));
  }
  std::string text = "Console usage\n\tSHOW [HELP|" + shows + "]";
  for (const Command& command : commands()) {
    text += "\n\t" + upper(std::string(command.name));
    std::string argument;
    for (const char c : std::string(command.arguments) + " ") {
      if (c != ' ') {
        argument += c;
        continue;
      }
      const bool needed = !argument.empty() && argument.back() == '!';
      if (needed) argument.pop_back();
      if (!argument.empty()) text += needed ? " " + argument : " [" + argument + "=…]";
      argument.clear();
    }
    text += "  -- " + std::string(command.help);
  }
  return text;
}

// Where a first word stands that is no "name=value".
std::string first_argument(const Command& command) {
  for (const char* name : {"database", "node", "client", "mode"}) {
    if (knows(command, name)) return name;
  }
  return "";
}

Result<Arguments> arguments_of(const Command& command, const std::vector<Word>& words) {
  Arguments arguments;
  for (size_t i = 1; i < words.size(); ++i) {
    if (i + 2 < words.size() && words[i + 1] == Word{"=", false}) {
      arguments[words[i].text] = words[i + 2].text;
      i += 2;
      continue;
    }
    const std::string name = first_argument(command);
    if (i != 1 || name.empty() || words[i] == Word{"=", false}) {
      return Error(Code::kUsage, "syntax error at \"" + words[i].text + "\"").with("try", "SHOW HELP");
    }
    arguments[name] = words[i].text;
  }
  return arguments;
}

// PgBouncer's words for the way in which it shuts down, and how long its commands wait.
Status as_pgbouncer_means_it(const Command& command, Arguments& arguments) {
  if (command.name == "shutdown") {
    std::string& mode = arguments["mode"];
    if (mode.empty()) mode = "fast";
    if (mode == "wait_for_servers") mode = "wait";
    if (mode == "wait_for_clients") {
      return Error(Code::kUsage, "clients are not waited for: they may stay for days")
          .with("try", "SHUTDOWN WAIT_FOR_SERVERS, which lets transactions end");
    }
  } else if (command.name == "pause" || command.name == "wait_close") {
    arguments.emplace("wait", kLongestWait);
  }
  return Status();
}

}  // namespace

AdminConsole::AdminConsole(Actions actions, std::function<ConfigPtr()> config)
    : actions_(std::move(actions)), config_(std::move(config)), period_(actions_.proxy), workers_(kMostAtOnce) {}

bool AdminConsole::is_open() const {
  const ConfigPtr config = config_();
  return !config->admin_users.empty() || !config->stats_users.empty();
}

Role AdminConsole::role_of(const std::string& user) const {
  const ConfigPtr config = config_();
  return control::role_of(user, config->admin_users, config->stats_users);
}

bool AdminConsole::lets_in(const std::string& user) const { return role_of(user) >= Role::kViewer; }

Result<AdminConsole::Plan> AdminConsole::plan(const ConsoleAsker& asker, std::string_view text) const {
  auto words = words_of(text);
  if (!words) return std::move(words).error();
  if (words->empty()) return Plan();
  if (!asker.at_console) return plan_as_pgpool(*words);
  const std::string& verb = (*words)[0].text;
  if (verb == "show" || verb == "select") return plan_show(*words);
  if (verb == "pgpool") return plan_as_pgpool(*words);
  Plan plan;
  for (const auto& [word, tag] :
       std::initializer_list<std::pair<const char*, const char*>>{{"begin", "BEGIN"},
                                                                  {"start", "BEGIN"},
                                                                  {"commit", "COMMIT"},
                                                                  {"end", "COMMIT"},
                                                                  {"rollback", "ROLLBACK"},
                                                                  {"abort", "ROLLBACK"},
                                                                  {"discard", "DISCARD ALL"},
                                                                  {"reset", "RESET"},
                                                                  {"deallocate", "DEALLOCATE"}}) {
    if (verb != word) continue;
    plan.answer.tag = tag;
    return plan;
  }
  if (verb == "set") {
    PGB_TRY(check_set(*words));
    plan.answer.tag = "SET";
    return plan;
  }
  plan.command = find_command(verb);
  if (plan.command == nullptr) {
    return Error(Code::kUsage, "there is no command \"" + verb + "\"").with("try", "SHOW HELP");
  }
  auto arguments = arguments_of(*plan.command, *words);
  if (!arguments) return std::move(arguments).error();
  plan.arguments = std::move(*arguments);
  PGB_TRY(as_pgbouncer_means_it(*plan.command, plan.arguments));
  plan.answer.tag = upper(verb);
  return plan;
}

Result<AdminConsole::Plan> AdminConsole::plan_show(const std::vector<Word>& words) const {
  Plan plan;
  plan.answer.tag = words[0].text == "select" ? "SELECT 1" : "SHOW";
  const std::string what = words.size() > 1 ? words[1].text : "help";
  if (words.size() > 2)
    return Error(Code::kUsage, "syntax error at \"" + words[2].text + "\"").with("try", "SHOW HELP");
  if (what == "help") {
    plan.answer.notice = help();
    return plan;
  }
  if (what.rfind("pool_", 0) == 0) return plan_as_pgpool(words);
  for (const Setting& setting : kSettings) {
    if (what != setting.name) continue;
    plan.answer.columns = {{setting.name}};
    plan.answer.rows = {{setting.value}};
    return plan;
  }
  plan.view = find_view(console_views(), what);
  if (plan.view == nullptr) {
    return Error(Code::kNotFound, "there is nothing to show of the name \"" + what + "\"").with("try", "SHOW HELP");
  }
  plan.answer.columns = plan.view->columns;
  return plan;
}

// SHOW POOL_…, PGPOOL SHOW ALL, PGPOOL SHOW item
Result<AdminConsole::Plan> AdminConsole::plan_as_pgpool(const std::vector<Word>& words) const {
  Plan plan;
  plan.answer.tag = "SHOW";
  const bool shows_view = words[0].text == "show";
  if (shows_view && words.size() == 2) {
    plan.view = find_view(pgpool_views(), words[1].text);
  } else if (!shows_view && words.size() == 3 && words[1].text == "show") {
    plan.view = find_view(pgpool_views(), "pool_status");
    if (words[2].text != "all") plan.only = words[2].text;
  } else if (!shows_view && words.size() > 1 && (words[1].text == "set" || words[1].text == "reset")) {
    return Error(Code::kUsage, "the configuration cannot be set by a client")
        .with("try", "change the configuration's file, then reload it");
  }
  if (plan.view != nullptr) {
    plan.answer.columns = plan.view->columns;
    return plan;
  }
  std::string known;
  for (const View& view : pgpool_views())
    known += (known.empty() ? "SHOW " : ", SHOW ") + upper(std::string(view.name));
  return Error(Code::kUsage, "this command of pgpool-II is not known here").with("known", known + ", PGPOOL SHOW ALL");
}

ConsoleAnswer AdminConsole::describe(const ConsoleAsker& asker, std::string_view text) const {
  auto found = plan(asker, text);
  return found ? std::move(found->answer) : refusal(found.error());
}

void AdminConsole::ask(const ConsoleAsker& asker, const std::string& text, Done done) {
  auto found = plan(asker, text);
  if (!found) return done(refusal(found.error()));
  if (found->view == nullptr && found->command == nullptr) return done(std::move(found->answer));
  const auto work = [this, asker, done, plan = std::move(*found)] { done(run(asker, plan)); };
  if (workers_.run(work)) return;
  done(refusal(Error(Code::kNotReady, "the console is busy with other commands, or the balancer ends")
                   .with("try", "again in a moment")));
}

Rows AdminConsole::rows_of(std::string_view view) const {
  const View* found = find_view(pgpool_views(), view);
  const ConfigPtr config = config_();
  return found == nullptr ? Rows() : found->rows({actions_.proxy, *config, period_, actions_.roles});
}

ConsoleAnswer AdminConsole::run(const ConsoleAsker& asker, Plan plan) const {
  const Role role = role_of(asker.user);
  if (plan.command != nullptr) {
    log::info("console: " + plan.answer.tag, {{"user", asker.user}, {"client", asker.address}});
    const auto outcome = run_command(actions_, role, plan.command->name, plan.arguments);
    if (!outcome) return refusal(outcome.error());
    plan.answer.notice = outcome->text;
    return std::move(plan.answer);
  }
  if (role < plan.view->needs) {
    return refusal(
        Error(Code::kAuth, "permission denied: this is for the role " + std::string(name_of(plan.view->needs)))
            .with("try", "name the user in admin_users or stats_users of the balancer's configuration"));
  }
  const ConfigPtr config = config_();
  plan.answer.rows = plan.view->rows({actions_.proxy, *config, period_, actions_.roles});
  if (plan.only.empty()) return std::move(plan.answer);
  Rows& rows = plan.answer.rows;
  rows.erase(std::remove_if(rows.begin(), rows.end(), [&](const Row& row) { return row[0] != plan.only; }), rows.end());
  if (rows.empty())
    return refusal(Error(Code::kNotFound, "there is no item " + plan.only).with("try", "PGPOOL SHOW ALL"));
  return std::move(plan.answer);
}

}  // namespace pgb::control
