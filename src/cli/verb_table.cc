#include "cli/verb_table.h"

#include <algorithm>
#include <cstdint>

#include "base/strings.h"
#include "cli/topics.h"

namespace pgb::cli {

const std::vector<VerbRow>& verb_table() {
  static const std::vector<VerbRow> table = {
      {"new", "Cluster", "NAME", "write a small cluster file; never overwrites one", "", "new demo"},
      {"validate", "Cluster", "", "every mistake of the cluster file at once", "--strict", "validate"},
      {"plan", "Cluster", "", "what init would do; touches nothing", "--exit-code --prune --set-free-ports", "plan"},
      {"init", "Cluster", "", "make the cluster real; again: finish or repair it",
       "--pull --prune --set-free-ports --dry-run", "init"},
      {"status", "Cluster", "", "the truth, asked from the servers", "--watch --exit-code --wait --node",
       "status --watch"},
      {"top", "Cluster", "", "traffic, nodes and pools, live, as top(1) shows it", "--watch --balancer", "top"},
      {"destroy", "Cluster", "", "remove the cluster and its data", "--keep-data --dry-run", "destroy --yes"},
      {"stop", "Cluster", "[NAME]", "stop all, or one server or balancer", "--dry-run", "stop replica1"},
      {"start", "Cluster", "[NAME]", "start all, or one server or balancer", "--dry-run", "start"},
      {"list", "Cluster", "", "all clusters of this machine", "", "list"},
      {"add-replica", "Nodes", "", "add replicas to a balancer's group", "--balancer --count --save --dry-run",
       "add-replica --balancer lb1 --count 2"},
      {"remove-replica", "Nodes", "", "remove a replica with its data and slot", "--balancer --node --dry-run",
       "remove-replica --balancer lb1 --node 3"},
      {"restart", "Nodes", "[NAME]", "stop and start; with failover one after the other", "--dry-run",
       "restart replica1"},
      {"reinit", "Nodes", "NODE", "throw a replica's data away and copy them anew", "--balancer --dry-run",
       "reinit replica1 --yes"},
      {"logs", "Nodes", "NAME", "the last lines of a server or balancer", "--lines --since --follow",
       "logs primary1 --since 10m"},
      {"switchover", "Roles", "", "move the primary's role; nothing is lost", "--to --balancer --dry-run",
       "switchover --to replica1"},
      {"failover", "Roles", "", "give a group a primary; --force may lose", "--to --balancer --force --dry-run",
       "failover --to replica1"},
      {"pause", "Roles", "", "maintenance: the agents leave roles alone", "--balancer --dry-run", "pause"},
      {"resume", "Roles", "", "the end of that", "--balancer --force --dry-run", "resume"},
      {"history", "Roles", "", "what changed in a group, and why", "--balancer --since", "history"},
      {"why", "Understand", "[NODE|SQL]", "no leader? this state? where would SQL go?", "--balancer --exit-code",
       "why replica1"},
      {"doctor", "Understand", "", "can this machine run a cluster?", "", "doctor"},
      {"events", "Understand", "", "what was done when", "--since --follow", "events"},
      {"drill", "Understand", "KIND [NODE]", "kill, stop, cut off, fill a disk, under load", "--balancer --dry-run",
       "drill kill primary1 --yes"},
      {"url", "Use", "", "how to connect; tried once before it is printed",
       "--role --direct --balancer --format --show-password", "url --format jdbc"},
      {"psql", "Use", "[ARGUMENT...]", "psql, connected", "--role --direct --balancer", "psql -- -c 'SELECT 1'"},
      {"env", "Use", "", "PGHOST and the like, for a shell", "--role --direct --balancer --show-password", "env"},
      {"open", "Use", "", "the web page: its address, and a browser at it", "--balancer", "open"},
      {"completion", "Tool", "SHELL", "completion for bash, zsh or fish", "", "completion bash"},
      {"help", "Tool", "[VERB|TOPIC]", "this help, or a verb's, or a topic's", "--man", "help init"},
      {"schema", "Tool", "", "the cluster file's JSON Schema", "--markdown", "schema"},
      {"version", "Tool", "", "the version of this program", "", "version"},
  };
  return table;
}

const std::vector<OptionRow>& option_table() {
  static const std::vector<OptionRow> table = {
      {"--config", "-c", "FILE", "cluster file, - for stdin; PGBALANCER_CONFIG"},
      {"--output", "-o", "FORMAT", "text, wide, json or name", "text wide json name"},
      {"--json", "", "", "the same as -o json"},
      {"--progress", "", "MODE", "auto tty plain json quiet; PGBALANCER_PROGRESS", "auto tty plain json quiet"},
      {"--color", "", "WHEN", "auto, always or never", "auto always never"},
      {"--no-color", "", "", "the same as --color never; NO_COLOR"},
      {"--quiet", "-q", "", "no progress"},
      {"--verbose", "-v", "", "each engine call and command with its time"},
      {"--timeout", "", "TIME", "give up after 500ms, 30s, 2m"},
      {"--runtime", "", "KIND", "docker or process, instead of what the file says", "auto docker process"},
      {"--no-input", "", "", "never ask"},
      {"--help", "-h", "", "help, also for a verb"},
      {"--version", "", "", "the version"},
      {"--dry-run", "-n", "", "only say what would be done"},
      {"--yes", "-y", "", "do not ask"},
      {"--exit-code", "", "", "status, why: 10 degraded, 11 no primary, 12 not created; plan: 20 something to do"},
      {"--watch", "", "[SEC]", "again every second, or every SEC seconds"},
      {"--wait", "", "STATE", "until it is healthy", "healthy"},
      {"--strict", "", "", "doubtful settings are mistakes, too: exit 3"},
      {"--pull", "", "WHEN", "images: always, missing (the default) or never", "always missing never"},
      {"--prune", "", "", "remove replicas that are not in the file, with their data"},
      {"--set-free-ports", "", "", "write free ports into the file where others hold them"},
      {"--keep-data", "", "", "keep the data directories or volumes"},
      {"--balancer", "", "NAME", "which balancer"},
      {"--node", "", "NODE", "a server's id or name"},
      {"--to", "", "NODE", "who is to lead; else the best candidate"},
      {"--force", "", "", "failover: also if commits are lost; resume: whoever may still lead"},
      {"--count", "", "N", "how many, 1 to 64"},
      {"--save", "", "", "write the change into the cluster file, too"},
      {"--since", "", "TIME", "only after 10m ago, or after 2026-01-31T12:00 (UTC)"},
      {"--follow", "", "", "go on as more comes, until Ctrl-C"},
      {"--lines", "", "N", "how many lines"},
      {"--direct", "", "[NODE]", "past the balancer: to this server, or to all in turn"},
      {"--role", "", "ROLE", "rw writes, ro reads from replicas, any", "rw ro any"},
      {"--format", "", "FORMAT", "uri dsn jdbc npgsql env service pgpass", "uri dsn jdbc npgsql env service pgpass"},
      {"--show-password", "", "", "with the password"},
      {"--man", "", "", "as a man page"},
      {"--markdown", "", "", "as a page to read, in Markdown"},
  };
  return table;
}

const std::vector<std::string_view>& global_options() {
  static const std::vector<std::string_view> names = {
      "--config",  "--output",  "--json",    "--progress", "--color",    "--no-color", "--quiet",
      "--verbose", "--timeout", "--runtime", "--yes",      "--no-input", "--help",     "--version"};
  return names;
}

const VerbRow* find_verb(std::string_view name) {
  for (const VerbRow& row : verb_table()) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const OptionRow* find_option(std::string_view name) {
  for (const OptionRow& row : option_table()) {
    if (row.name == name || (!row.letter.empty() && row.letter == name)) return &row;
  }
  return nullptr;
}

bool takes(const VerbRow& verb, std::string_view option) {
  const auto& global = global_options();
  if (std::find(global.begin(), global.end(), option) != global.end()) return true;
  for (const std::string& own : split(verb.options, ' ')) {
    if (own == option) return true;
  }
  return false;
}

size_t most_words(const VerbRow& verb) {
  if (verb.arguments.empty()) return 0;
  return verb.arguments.find("...") == std::string_view::npos ? split(verb.arguments, ' ').size() : SIZE_MAX;
}

static std::string padded(std::string text, size_t width) {
  text.resize(std::max(width, text.size() + 1), ' ');
  return text;
}

static std::string option_line(const OptionRow& row) {
  std::string name = row.letter.empty() ? "    " : std::string(row.letter) + ", ";
  name += row.name;
  if (!row.argument.empty()) name += " " + std::string(row.argument);
  return "    " + padded(name, 24) + std::string(row.help) + "\n";
}

std::string help_text() {
  std::string out =
      "Usage: pgbalancer_cluster [--config FILE] [options] VERB\n\n"
      "  Start here\n"
      "    pgbalancer_cluster new demo        write a small cluster file\n"
      "    pgbalancer_cluster init            make it real; again: finish or repair it\n"
      "    pgbalancer_cluster status --watch  look at it\n"
      "    pgbalancer_cluster psql            use it\n"
      "    pgbalancer_cluster destroy         remove it and its data\n";
  std::string_view group;
  for (const VerbRow& row : verb_table()) {
    if (row.group != group) out += "\n  " + std::string(row.group) + "\n";
    group = row.group;
    out += "    " + padded(std::string(row.name) + " " + std::string(row.arguments), 24) + std::string(row.help) + "\n";
  }
  out += "\n  As flags, too: --init --status --destroy --add-replica --remove-replica\n\n  Options everywhere\n";
  for (std::string_view name : global_options()) out += option_line(*find_option(name));
  out += "\n  More: pgbalancer_cluster help TOPIC\n";
  for (const Topic& topic : topics())
    out += "    " + padded(std::string(topic.name), 24) + std::string(topic.about) + "\n";
  return out;
}

std::string help_text(const VerbRow& verb) {
  std::string out = "Usage: pgbalancer_cluster " + std::string(verb.name);
  if (!verb.arguments.empty()) out += " " + std::string(verb.arguments);
  out += " [options]\n\n  " + std::string(verb.help) + "\n";
  if (!verb.options.empty()) out += "\n  Options\n";
  for (const std::string& name : split(verb.options, ' ')) {
    if (const OptionRow* row = find_option(name)) out += option_line(*row);
  }
  return out + "\n  Example\n    pgbalancer_cluster " + std::string(verb.example) + "\n";
}

}  // namespace pgb::cli
