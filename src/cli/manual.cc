// The man page and the completions, made from the table of verbs.
#include <algorithm>

#include "base/strings.h"
#include "cli/topics.h"
#include "cli/verb_table.h"

namespace pgb::cli {

namespace {

// A backslash, a leading dot or quote would be read as a command of roff.
std::string roff(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\\' || c == '-') out.push_back('\\');
    out.push_back(c);
  }
  return !out.empty() && (out[0] == '.' || out[0] == '\'') ? "\\&" + out : out;
}

std::string entry(const std::string& term, std::string_view text) {
  return ".TP\n.B " + roff(term) + "\n" + roff(text) + "\n";
}

std::string spaced(std::string_view left, std::string_view right) {
  return std::string(left) + (right.empty() ? "" : " ") + std::string(right);
}

std::string quoted_for_shell(std::string_view text) {  // within '…'
  std::string out(text);
  std::replace(out.begin(), out.end(), '\'', '`');
  return out;
}

std::vector<std::string> verb_names() {
  std::vector<std::string> names;
  for (const VerbRow& row : verb_table()) names.emplace_back(row.name);
  return names;
}

std::vector<std::string> option_names() {
  std::vector<std::string> names;
  for (const OptionRow& row : option_table()) names.emplace_back(row.name);
  for (const char* old : {"--init", "--status", "--destroy", "--add-replica", "--remove-replica"})
    names.emplace_back(old);
  return names;
}

std::string bash_completion() {
  std::string out = R"(_pgbalancer_cluster() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  case $before in
    -c|--config) COMPREPLY=($(compgen -f -- "$word")); return ;;
    completion) COMPREPLY=($(compgen -W "bash zsh fish" -- "$word")); return ;;
)";
  for (const OptionRow& row : option_table()) {
    if (row.choices.empty()) continue;
    out += "    " + std::string(row.name) + (row.letter.empty() ? "" : "|" + std::string(row.letter)) +
           ") COMPREPLY=($(compgen -W \"" + std::string(row.choices) + "\" -- \"$word\")); return ;;\n";
  }
  return out + "  esac\n  case $word in\n    -*) COMPREPLY=($(compgen -W \"" + join(option_names(), " ") +
         "\" -- \"$word\")) ;;\n    *) COMPREPLY=($(compgen -W \"" + join(verb_names(), " ") +
         "\" -- \"$word\")) ;;\n  esac\n}\ncomplete -F _pgbalancer_cluster pgbalancer_cluster\n";
}

std::string zsh_completion() {
  std::string out = "#compdef pgbalancer_cluster\nlocal -a verbs\nverbs=(\n";
  for (const VerbRow& row : verb_table()) {
    out += "  '" + std::string(row.name) + ":" + quoted_for_shell(row.help) + "'\n";
  }
  return out +
         ")\n_arguments '*:verb:{_describe verb verbs}' '(-c --config)'{-c,--config}'[cluster file]:file:_files'\n";
}

std::string fish_completion() {
  std::string out;
  for (const VerbRow& row : verb_table()) {
    out += "complete -c pgbalancer_cluster -n __fish_use_subcommand -a " + std::string(row.name) + " -d '" +
           quoted_for_shell(row.help) + "'\n";
  }
  for (const std::string& name : option_names()) {
    const OptionRow* row = find_option(name);
    out += "complete -c pgbalancer_cluster -l " + name.substr(2);
    if (row != nullptr && !row->letter.empty()) out += " -s " + std::string(row->letter.substr(1));
    if (row != nullptr && !row->choices.empty()) out += " -x -a '" + std::string(row->choices) + "'";
    out += "\n";
  }
  return out;
}

}  // namespace

std::string man_page() {
  std::string out = ".TH PGBALANCER_CLUSTER 1 \"\" \"pgbalancer " PGB_VERSION
                    "\"\n.SH NAME\npgbalancer_cluster \\- make, watch and remove a PostgreSQL cluster\n.SH SYNOPSIS\n"
                    ".B pgbalancer_cluster\n[\\fB\\-\\-config\\fR FILE] [options] VERB\n.SH VERBS\n";
  for (const VerbRow& row : verb_table()) out += entry(spaced(row.name, row.arguments), row.help);
  out += ".SH OPTIONS\n";
  for (const OptionRow& row : option_table()) {
    const std::string letter = row.letter.empty() ? "" : std::string(row.letter) + ", ";
    out += entry(letter + spaced(row.name, row.argument), row.help);
  }
  out += ".SH EXIT STATUS\n";
  for (const Meaning& exit : exit_codes()) out += entry(std::string(exit.name), exit.text);
  out += ".SH ENVIRONMENT\n";
  for (const Meaning& variable : environment_variables()) out += entry(std::string(variable.name), variable.text);
  out += ".SH EXAMPLES\n.nf\n";
  for (const VerbRow& row : verb_table()) out += roff("pgbalancer_cluster " + std::string(row.example)) + "\n";
  return out + ".fi\n";
}

std::string completion(std::string_view shell) {
  if (shell == "bash") return bash_completion();
  if (shell == "zsh") return zsh_completion();
  if (shell == "fish") return fish_completion();
  return "";
}

}  // namespace pgb::cli
