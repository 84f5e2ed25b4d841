// The words of the command line as values. Old flags and verbs, options before and after the verb.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/verb_table.h"

namespace pgb::cli {

struct CommandLine {
  const VerbRow* verb = nullptr;                            // never null after parse()
  bool flag_form = false;                                   // --destroy, not destroy
  std::vector<std::string> words;                           // arguments that are no options; all that follows "--"
  std::map<std::string, std::string, std::less<>> options;  // by name; flags have an empty value
  int verbosity = 0;

  bool has(std::string_view option) const { return options.find(option) != options.end(); }
  std::string get(std::string_view option, std::string fallback = "") const;
};

// No words at all mean help. Errors are kUsage with a "try" line; abbreviations are refused, not guessed.
Result<CommandLine> parse_command_line(const std::vector<std::string>& words);

}  // namespace pgb::cli
