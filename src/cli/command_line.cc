#include "cli/command_line.h"

#include <algorithm>

#include "base/strings.h"

namespace pgb::cli {

std::string CommandLine::get(std::string_view option, std::string fallback) const {
  const auto found = options.find(option);
  return found == options.end() ? fallback : found->second;
}

namespace {

constexpr std::string_view kOldFlags[] = {"--init", "--status", "--destroy", "--add-replica", "--remove-replica"};

bool is_old_flag(std::string_view word) {
  for (std::string_view flag : kOldFlags) {
    if (word == flag) return true;
  }
  return false;
}

bool is_option(const std::string& word) { return word.size() > 1 && word[0] == '-'; }  // "-" is standard input

Error unknown(std::string what, std::string_view word, const std::vector<std::string_view>& known) {
  Error error(Code::kUsage, "there is no " + what + " " + std::string(word));
  for (std::string_view one : known) {  // an abbreviation is the likeliest mistake: the old tool took them
    if (word.size() > 3 && one.substr(0, word.size()) == word) {
      return std::move(error).with("try", "did you mean " + std::string(one) + "?");
    }
  }
  const std::string_view near = nearest(word, known);
  return std::move(error).with("try",
                               near.empty() ? "pgbalancer_cluster help" : "did you mean " + std::string(near) + "?");
}

Error unknown_option(std::string_view word) {
  std::vector<std::string_view> known(std::begin(kOldFlags), std::end(kOldFlags));
  for (const OptionRow& row : option_table()) known.push_back(row.name);
  return unknown("option", word, known);
}

class Parser {
 public:
  explicit Parser(const std::vector<std::string>& words) : words_(words) {}

  Result<CommandLine> run() {
    while (next_ < words_.size()) {
      const std::string& word = words_[next_++];
      if (word == "--") {
        line_.words.insert(line_.words.end(), words_.begin() + static_cast<std::ptrdiff_t>(next_), words_.end());
        break;
      }
      if (is_option(word)) {
        PGB_TRY(option(word));
      } else {
        PGB_TRY(plain(word));
      }
    }
    return finish();
  }

 private:
  Status set_verb(std::string_view name, bool flag_form) {
    if (line_.verb != nullptr) {
      return Error(Code::kUsage, "two actions at once: " + std::string(line_.verb->name) + " and " + std::string(name))
          .with("try", "one after the other");
    }
    line_.verb = find_verb(name);
    line_.flag_form = flag_form;
    return {};
  }

  Status option(const std::string& word) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (is_old_flag(name)) return set_verb(name.substr(2), true);
    if (name == "-vv") return set_flag("--verbose", 2);
    const OptionRow* row = find_option(name);
    if (row == nullptr) return unknown_option(name);
    if (row->argument.empty()) {
      if (equals != std::string::npos) return Error(Code::kUsage, name + " takes no value");
      return set_flag(row->name, 1);
    }
    const bool optional = row->argument[0] == '[';
    std::string value;
    if (equals != std::string::npos) {
      value = word.substr(equals + 1);
    } else if (next_ < words_.size() &&
               (row->argument == "[SEC]" ? parse_duration_ms(words_[next_]).has_value() : !is_option(words_[next_]))) {
      value = words_[next_++];
    }
    if (value.empty() && !optional) return Error(Code::kUsage, name + " needs a value: " + std::string(row->argument));
    line_.options[std::string(row->name)] = value;
    return check_choice(*row, value);
  }

  static Status check_choice(const OptionRow& row, const std::string& value) {
    if (row.choices.empty()) return {};
    const std::vector<std::string> choices = split(row.choices, ' ');
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return {};
    return Error(Code::kUsage, std::string(row.name) + " does not know " + value).with("try", join(choices, ", "));
  }

  Status set_flag(std::string_view name, int times) {
    line_.options[std::string(name)] = "";
    if (name == "--verbose") line_.verbosity += times;
    return {};
  }

  Status plain(const std::string& word) {
    if (line_.verb != nullptr) {
      line_.words.push_back(word);
      return {};
    }
    if (find_verb(word) == nullptr) {
      std::vector<std::string_view> known;
      for (const VerbRow& row : verb_table()) known.push_back(row.name);
      return unknown("verb", word, known);
    }
    return set_verb(word, false);
  }

  Result<CommandLine> finish() {
    // Who asks for help or the version wants nothing else done, whatever else stands there.
    if (line_.has("--help")) return instead("help", line_.verb != nullptr && line_.verb->name != "help");
    if (line_.has("--version")) return instead("version", false);
    if (line_.verb == nullptr) line_.verb = find_verb("help");
    for (const auto& [name, value] : line_.options) {
      if (!takes(*line_.verb, name)) {
        return Error(Code::kUsage, std::string(line_.verb->name) + " does not take " + name)
            .with("try", "pgbalancer_cluster help " + std::string(line_.verb->name));
      }
    }
    const size_t most = most_words(*line_.verb);
    if (line_.words.size() > most) {  // `destroy NAME` must not remove another cluster than NAME
      return Error(Code::kUsage, std::string(line_.verb->name) + " does not take the word " + line_.words[most])
          .with("try", "pgbalancer_cluster help " + std::string(line_.verb->name));
    }
    return std::move(line_);
  }

  Result<CommandLine> instead(std::string_view verb, bool of_verb) {
    if (of_verb) line_.words = {std::string(line_.verb->name)};
    if (verb == "version") line_.words.clear();
    line_.verb = find_verb(verb);
    return std::move(line_);
  }

  const std::vector<std::string>& words_;
  size_t next_ = 0;
  CommandLine line_;
};

}  // namespace

Result<CommandLine> parse_command_line(const std::vector<std::string>& words) { return Parser(words).run(); }

}  // namespace pgb::cli
