#include "proxy/parameter_set.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace pgb::proxy {
namespace {

constexpr char kRole[] = "role", kTimeout[] = "statement_timeout";

// A role is part of a search_path with "$user" in it.
constexpr std::array<std::string_view, 15> kForParsing = {"array_nulls",
                                                          "backslash_quote",
                                                          "client_encoding",
                                                          "datestyle",
                                                          "intervalstyle",
                                                          "default_text_search_config",
                                                          "lc_monetary",
                                                          "role",
                                                          "row_security",
                                                          "search_path",
                                                          "timezone",
                                                          "standard_conforming_strings",
                                                          "transform_null_equals",
                                                          "timezone_abbreviations",
                                                          "xmloption"};

// Parameters that RESET and set_config() treat in their own way.
std::string assignment(const std::string& name, const std::string& value) {
  if (name == "role") return value == "none" ? "RESET ROLE" : "SET ROLE " + quote_identifier(value);
  return "SELECT pg_catalog.set_config(" + quote_literal(name) + ", " + quote_literal(value) + ", false)";
}

std::string reset(const std::string& name) {
  if (name == "role") return "RESET ROLE";
  // A name with a dot in it is two identifiers.
  const size_t dot = name.find('.');
  if (dot == std::string::npos) return "RESET " + quote_identifier(name);
  return "RESET " + quote_identifier(name.substr(0, dot)) + "." + quote_identifier(name.substr(dot + 1));
}

std::vector<std::string> split_options(const std::string& options) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  for (size_t i = 0; i < options.size(); ++i) {
    const char c = options[i];
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v') {
      if (in_word) words.push_back(word);
      word.clear();
      in_word = false;
      continue;
    }
    in_word = true;
    word += c == '\\' && i + 1 < options.size() ? options[++i] : c;
  }
  if (in_word) words.push_back(word);
  return words;
}

Status add_assignment(const std::string& text, Parameters& out) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return Error(Code::kConfig, "the startup option \"" + text + "\" is not of the form name=value");
  }
  std::string name = lower(text.substr(0, equals));
  for (char& c : name) c = c == '-' ? '_' : c;
  out[name] = text.substr(equals + 1);
  return {};
}

Status add_options(const std::string& options, Parameters& out) {
  const std::vector<std::string> words = split_options(options);
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "-c" && i + 1 < words.size()) {
      PGB_TRY(add_assignment(words[++i], out));
    } else if (word.rfind("--", 0) == 0) {
      PGB_TRY(add_assignment(word.substr(2), out));
    } else if (word.rfind("-c", 0) == 0 && word.size() > 2) {
      PGB_TRY(add_assignment(word.substr(2), out));
    } else {
      return Error(Code::kConfig, "the startup option \"" + word + "\" cannot be carried over pooled connections")
          .with("try", "only -c name=value and --name=value are understood");
    }
  }
  return {};
}

}  // namespace

ParameterSetPtr ParameterSets::intern(Parameters parameters) {
  if (parameters.empty()) return none_;
  const std::lock_guard lock(mutex_);
  if (known_.size() > forget_above_) {
    for (auto it = known_.begin(); it != known_.end();) it = it->second.expired() ? known_.erase(it) : std::next(it);
    forget_above_ =
        std::max(kForgetAbove, 2 * known_.size());  // so that many that live are not looked through each time
  }
  std::weak_ptr<const Parameters>& slot = known_[parameters];
  ParameterSetPtr set = slot.lock();
  if (!set) slot = set = std::make_shared<const Parameters>(std::move(parameters));
  return set;
}

bool has_short_timeout(const Parameters& parameters) {
  constexpr long kShort = 1000;  // ms
  const auto found = parameters.find(kTimeout);
  if (found == parameters.end()) return false;
  char* unit = nullptr;
  const long value = std::strtol(found->second.c_str(), &unit, 10);
  while (*unit == ' ') ++unit;
  const std::string_view rest = unit;
  return value > 0 && value < kShort && (rest.empty() || rest == "ms");
}

bool may_be_refused(const Parameters& from, const Parameters& to) {
  if (has_short_timeout(from)) return true;
  const auto value = [](const Parameters& in) {  // can only be set before the first temporary table is used
    const auto found = in.find("temp_buffers");
    return found == in.end() ? std::string_view() : std::string_view(found->second);
  };
  return value(from) != value(to);
}

std::string sql_to_change(const Parameters& from, const Parameters& to) {
  std::string sql;
  if (from == to) return sql;
  const auto add = [&](const std::string& statement) { sql += (sql.empty() ? "" : ";") + statement; };
  // A role may not be allowed what the login user is, and a time-out may be too short for what is to be done.
  const auto hinders = [](const std::string& name) { return name == kRole || name == kTimeout; };
  for (const char* name : {kTimeout, kRole}) {
    if (from.count(name) != 0) add(reset(name));
  }
  for (const auto& [name, value] : from) {
    if (!hinders(name) && to.count(name) == 0) add(reset(name));
  }
  for (const auto& [name, value] : to) {
    const auto has = from.find(name);
    if (!hinders(name) && (has == from.end() || has->second != value)) add(assignment(name, value));
  }
  for (const char* name : {kRole, kTimeout}) {
    if (const auto wanted = to.find(name); wanted != to.end()) add(assignment(name, wanted->second));
  }
  return sql;
}

Parameters for_parsing(const Parameters& all) {
  Parameters some;
  for (const std::string_view name : kForParsing) {
    if (const auto found = all.find(std::string(name)); found != all.end()) some.insert(*found);
  }
  return some;
}

bool is_for_parsing(std::string_view name) {
  return std::find(kForParsing.begin(), kForParsing.end(), name) != kForParsing.end();
}

Result<Parameters> startup_parameters(const std::map<std::string, std::string>& packet) {
  Parameters parameters;
  if (const auto options = packet.find("options"); options != packet.end()) {
    PGB_TRY(add_options(options->second, parameters));
  }
  for (const auto& [name, value] : packet) {
    if (name == "user" || name == "database" || name == "replication" || name == "options") continue;
    if (name.rfind("_pq_.", 0) == 0) continue;
    parameters[lower(name)] = value;
  }
  return parameters;
}

std::string quote_literal(const std::string& text) {
  const bool escape = text.find('\\') != std::string::npos;
  std::string out = escape ? " E'" : "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  return out + "'";
}

std::string quote_identifier(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += c;
    out += c;
  }
  return out + "\"";
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

// A boolean is any beginning of true, false, yes, no, and of on and off two letters.
std::optional<Replication> replication_of(std::string_view value) {
  if (value == "database") return Replication::kLogical;
  const std::string word = lower(value);
  const auto begins = [&](std::string_view whole, size_t least) {
    return word.size() >= least && whole.substr(0, word.size()) == word;
  };
  if (begins("true", 1) || begins("yes", 1) || begins("on", 2) || word == "1") return Replication::kPhysical;
  if (begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0") return Replication::kNone;
  return std::nullopt;
}

}  // namespace pgb::proxy
