#include "control/commands.h"

#include <chrono>
#include <cstdlib>
#include <optional>
#include <set>

#include "base/strings.h"
#include "control/group_roles.h"
#include "control/text_of.h"

namespace pgb::control {
namespace {

using proxy::Outcome;
using Milliseconds = std::chrono::milliseconds;

constexpr double kMostSeconds = 3600;

std::string get(const Arguments& arguments, const char* name) {
  const auto found = arguments.find(name);
  return found == arguments.end() ? "" : found->second;
}

Result<std::optional<Milliseconds>> seconds(const Arguments& arguments, const char* name) {
  const std::string text = get(arguments, name);
  if (text.empty()) return std::optional<Milliseconds>();
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size() || !(value >= 0 && value <= kMostSeconds)) {
    return Error(Code::kUsage, std::string(name) + " must be a number of seconds, 3600 at most");
  }
  return std::optional(Milliseconds(static_cast<int64_t>(value * 1000)));
}

Result<Milliseconds> wait_of(const Arguments& arguments) {
  auto wait = seconds(arguments, "wait");
  if (!wait) return std::move(wait).error();
  return wait->value_or(Milliseconds(0));
}

// What the servers have said lately of their databases; nothing: none has.
std::optional<std::set<std::string>> databases_of(const proxy::TopologySnapshot& topology) {
  constexpr std::chrono::seconds kLately{20};  // each is asked every five seconds
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  std::optional<std::set<std::string>> all;
  for (const proxy::NodeView& node : topology.nodes) {
    const proxy::BasicsBox::Ptr basics = node.gauge->basics.get();
    if (!basics || !basics->databases || now - std::chrono::nanoseconds(basics->asked_ns) > kLately) continue;
    if (!all) all.emplace();
    all->insert(basics->databases->begin(), basics->databases->end());
  }
  return all;
}

std::string listed(const std::set<std::string>& names) {
  constexpr size_t kMost = 20;
  std::string text;
  size_t count = 0;
  for (const std::string& name : names) {
    if (count++ == kMost) return text + " and " + std::to_string(names.size() - kMost) + " more";
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

// An order about a database that there is not would be told as carried out, and a pause of it as a state. What comes
// back is to be told beside what was done: nobody can say whether there is one of that name.
Result<std::string> check_database(const proxy::Admin& proxy, const std::string& name) {
  if (name.empty() || proxy.orders()->paused_databases.count(name) != 0) return std::string();
  const auto known = databases_of(*proxy.topology());
  if (known && known->count(name) != 0) return std::string();
  for (const proxy::TrafficRow& row : proxy.traffic()) {
    if (row.database == name && row.clients > 0) return std::string();  // it was made a moment ago
  }
  if (!known) return "; no server could be asked whether there is a database " + name;
  return Error(Code::kNotFound, "there is no database " + name)
      .with("changed", "nothing")
      .with("databases", listed(*known))
      .with("try", "again in five seconds if it was made just now");
}

Result<Outcome> pause(const Actions& actions, const Arguments& arguments) {
  const auto wait = wait_of(arguments);
  if (!wait) return wait.error();
  return actions.proxy.pause(get(arguments, "database"), *wait);
}

Result<Outcome> resume(const Actions& actions, const Arguments& arguments) {
  return actions.proxy.resume(get(arguments, "database"));
}

Result<Outcome> drain(const Actions& actions, const Arguments& arguments) {
  const auto wait = wait_of(arguments);
  if (!wait) return wait.error();
  const auto limit = seconds(arguments, "limit");
  if (!limit) return limit.error();
  return actions.proxy.drain(get(arguments, "node"), *limit, *wait);
}

Result<Outcome> undrain(const Actions& actions, const Arguments& arguments) {
  return actions.proxy.undrain(get(arguments, "node"));
}

Result<Outcome> reconnect(const Actions& actions, const Arguments& arguments) {
  const auto wait = wait_of(arguments);
  if (!wait) return wait.error();
  return actions.proxy.reconnect(get(arguments, "node"), get(arguments, "database"), *wait);
}

Result<Outcome> wait_close(const Actions& actions, const Arguments& arguments) {
  const auto wait = wait_of(arguments);
  if (!wait) return wait.error();
  return actions.proxy.wait_close(get(arguments, "node"), get(arguments, "database"), *wait);
}

Result<Outcome> kill_client(const Actions& actions, const Arguments& arguments) {
  return actions.proxy.kill_client(get(arguments, "client"));
}

Result<Outcome> kill(const Actions& actions, const Arguments& arguments) {
  return actions.proxy.kill(get(arguments, "database"));
}

Result<Outcome> reload(const Actions& actions, const Arguments&) {
  PGB_TRY(actions.reload());
  Outcome outcome;
  outcome.text = "the configuration was read again";
  return outcome;
}

Result<Outcome> shut_down(const Actions& actions, const Arguments& arguments) {
  const std::string mode = get(arguments, "mode");
  if (!mode.empty() && mode != "wait" && mode != "fast") {
    return Error(Code::kUsage, "mode must be \"wait\" (for transactions to end) or \"fast\"");
  }
  const bool wait = mode != "fast";
  actions.shut_down(wait);
  Outcome outcome;
  outcome.done = false;
  outcome.text = wait ? "shutting down: no new clients, sessions end after their transaction"
                      : "shutting down: every session ends now";
  return outcome;
}

Result<Outcome> reopen_log(const Actions& actions, const Arguments&) {
  if (!actions.reopen_log) {
    return Error(Code::kUsage, "there is no log file: the log goes to standard error")
        .with("try", "let whatever keeps that output turn it over, or set \"log_file\" and start the balancer again");
  }
  PGB_TRY(actions.reopen_log());
  Outcome outcome;
  outcome.text = "the log file was opened again";
  return outcome;
}

Result<Outcome> invalidate_cache(const Actions& actions, const Arguments& arguments) {
  return actions.proxy.forget_statements(get(arguments, "database"));
}

Result<GroupRoles*> roles_for(const Actions& actions, const Arguments& arguments) {
  const std::string node = get(arguments, "node");
  if (!node.empty() && actions.proxy.topology()->find(node) == nullptr) {
    return Error(Code::kNoNode, "there is no node " + node).with("nodes", actions.proxy.topology()->describe());
  }
  if (actions.roles == nullptr) return Error(Code::kNotReady, "no agents choose the primary here");
  return actions.roles;
}

Result<Outcome> promote(const Actions& actions, const Arguments& arguments) {
  const auto roles = roles_for(actions, arguments);
  if (!roles) return roles.error();
  const auto change = (*roles)->switchover(get(arguments, "node"));
  if (!change) return change.error();
  Outcome outcome;
  outcome.text = change->from == change->to
                     ? change->sentence
                     : "switched over from " + change->from + " to " + change->to + " in " + fixed(change->seconds, 2) +
                           " s: epoch " + std::to_string(change->epoch);
  return outcome;
}

Result<Outcome> recovery(const Actions& actions, const Arguments& arguments) {
  const auto roles = roles_for(actions, arguments);
  if (!roles) return roles.error();
  PGB_TRY((*roles)->reinit(get(arguments, "node")));
  Outcome outcome;
  outcome.done = false;
  outcome.text = get(arguments, "node") + " is asked to make itself anew as a full copy of the primary";
  return outcome;
}

Result<Outcome> told(Result<std::string> what) {
  if (!what) return std::move(what).error();
  Outcome outcome;
  outcome.text = std::move(*what);
  return outcome;
}

Result<Outcome> watchdog_stop(const Actions& actions, const Arguments& arguments) {
  const auto roles = roles_for(actions, arguments);
  return roles ? told((*roles)->pause()) : Result<Outcome>(roles.error());
}

Result<Outcome> watchdog_start(const Actions& actions, const Arguments& arguments) {
  const auto roles = roles_for(actions, arguments);
  return roles ? told((*roles)->resume()) : Result<Outcome>(roles.error());
}

// A number stands for the node at that place of the configuration, unless a node is called so.
void name_node(const Actions& actions, Arguments& arguments) {
  const auto given = arguments.find("node");
  if (given == arguments.end()) return;
  const proxy::TopologyPtr topology = actions.proxy.topology();
  if (topology->find(given->second) != nullptr) return;
  const auto number = parse_u64(given->second);
  if (number && *number < topology->nodes.size()) given->second = topology->nodes[*number].name;
}

Status check_arguments(const Command& command, const Arguments& arguments) {
  const std::string name(command.name);
  for (const auto& [key, value] : arguments) {
    if (knows(command, key)) continue;
    return Error(Code::kUsage, name + " knows no argument " + key)
        .with("arguments", command.arguments.empty() ? "none" : std::string(command.arguments));
  }
  for (const char* key : {"node", "database", "client"}) {
    const bool needed = command.arguments.find(std::string(key) + "!") != std::string_view::npos;
    if (needed && get(arguments, key).empty()) return Error(Code::kUsage, name + " needs a " + key);
  }
  return Status();
}

}  // namespace

const std::vector<Command>& commands() {
  static const std::vector<Command> kCommands = {
      {"pause", "database wait", "lets transactions end, closes servers, new work waits; one database or all", pause},
      {"resume", "database", "ends a pause: what waits goes on", resume},
      {"drain", "node! limit wait", "gives a node no new work; after the limit sessions that are there end", drain,
       "detach"},
      {"undrain", "node!", "gives a node work again", undrain, "attach"},
      {"reconnect", "node database wait", "replaces connections to servers as they become free", reconnect},
      {"wait_close", "node database wait", "waits for the end of connections that are to be replaced", wait_close},
      {"kill", "database!", "ends all sessions of a database", kill},
      {"kill_client", "client!", "ends the session of one client, by its id", kill_client},
      {"promote", "node!", "moves the primary's role to that node, planned; nothing is lost", promote},
      {"recovery", "node!", "has a replica made anew as a full copy of the primary", recovery},
      {"watchdog_stop", "", "has no server take over by itself until watchdog_start", watchdog_stop},
      {"watchdog_start", "", "has agents watch over the primary again", watchdog_start},
      {"invalidate_cache", "database", "forgets what is known of statements' texts", invalidate_cache},
      {"reopen_log", "", "opens the log file again, after it was moved", reopen_log, "logrotate"},
      {"reload", "", "reads the configuration again", reload},
      {"shutdown", "mode", "ends the balancer: \"wait\" for transactions to end, or \"fast\"", shut_down, "stop"},
  };
  return kCommands;
}

bool knows(const Command& command, std::string_view argument) {
  const std::string all = " " + std::string(command.arguments) + " ", word(argument);
  return all.find(" " + word + " ") != std::string::npos || all.find(" " + word + "! ") != std::string::npos;
}

const Command* find_command(std::string_view name) {
  for (const Command& command : commands()) {
    if (command.name == name || (!name.empty() && command.alias == name)) return &command;
  }
  return nullptr;
}

Result<Outcome> run_command(const Actions& actions, Role role, std::string_view name, const Arguments& arguments) {
  const Command* command = find_command(name);
  if (command == nullptr) {
    std::string known;
    for (const Command& other : commands()) known += (known.empty() ? "" : ", ") + std::string(other.name);
    return Error(Code::kNotFound, "there is no command " + std::string(name)).with("commands", known);
  }
  if (role < command->needs) {
    return Error(Code::kAuth,
                 std::string(name) + " is for the role " + name_of(command->needs) + ", not for " + name_of(role));
  }
  PGB_TRY(check_arguments(*command, arguments));
  Arguments named = arguments;
  name_node(actions, named);
  const auto notice = check_database(actions.proxy, get(named, "database"));
  if (!notice) return notice.error();
  auto outcome = command->run(actions, named);
  if (outcome) outcome->text += *notice;
  return outcome;
}

}  // namespace pgb::control
