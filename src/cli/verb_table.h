// One row a verb: help, man page, completion and the parser are all made from it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pgb::cli {

struct OptionRow {
  std::string_view name;      // "--count"
  std::string_view letter;    // "-c", or empty
  std::string_view argument;  // "N"; empty: a flag
  std::string_view help;
  std::string_view choices = {};  // the only values it takes, apart by blanks; empty: any
};

struct VerbRow {
  std::string_view name;
  std::string_view group;      // heading in the help
  std::string_view arguments;  // "[NODE]"
  std::string_view help;       // one line
  std::string_view options;    // its own options, by name, apart by blanks
  std::string_view example;
};

const std::vector<VerbRow>& verb_table();
const std::vector<OptionRow>& option_table();           // all options, the verbs' own included
const std::vector<std::string_view>& global_options();  // names of those that every verb takes

const VerbRow* find_verb(std::string_view name);      // null if there is none
const OptionRow* find_option(std::string_view name);  // by name or letter
bool takes(const VerbRow& verb, std::string_view option);
size_t most_words(const VerbRow& verb);  // how many arguments that are no options

std::string help_text();
std::string help_text(const VerbRow& verb);
std::string man_page();                          // roff, section 1
std::string completion(std::string_view shell);  // bash, zsh, fish; empty for others

}  // namespace pgb::cli
