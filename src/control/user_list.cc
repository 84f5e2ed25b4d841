#include "control/user_list.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/strings.h"
#include "model/mistakes.h"
#include "pgwire/scram.h"

namespace pgb::control {
namespace {

constexpr size_t kLongestName = 63;  // longer ones no server has
constexpr size_t kLongestSecret = 1024;

// Takes a quoted text off the front of `line`; nothing if there is none that ends.
std::optional<std::string> take_quoted(std::string_view& line) {
  line = trim(line);
  if (line.empty() || line[0] != '"') return std::nullopt;
  std::string out;
  for (size_t i = 1; i < line.size(); ++i) {
    if (line[i] != '"') {
      out += line[i];
    } else if (i + 1 < line.size() && line[i + 1] == '"') {
      out += line[++i];
    } else {
      line.remove_prefix(i + 1);
      return out;
    }
  }
  return std::nullopt;
}

// What is wrong with the line; empty if it gave `user`.
std::string read_line(std::string_view line, User& user) {
  auto name = take_quoted(line);
  if (!name) return "a user's name in double quotes must stand first";
  auto secret = take_quoted(line);
  if (!secret) return "the secret of " + model::shown(*name) + " must follow in double quotes";
  std::string wrong = mistake_in_name(*name);
  if (wrong.empty()) wrong = mistake_in_secret(*secret);
  user = {std::move(*name), Secret(std::move(*secret))};
  return wrong;
}

}  // namespace

std::string mistake_in_name(std::string_view name) {
  if (name.empty()) return "the user's name must not be empty";
  if (name.size() > kLongestName) return "the user's name must not be longer than 63 bytes";
  if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    return "the user's name must not hold control characters";
  }
  return "";
}

std::string mistake_in_secret(std::string_view secret) {
  if (secret.empty()) return "the secret must not be empty: nobody could log in with it";
  if (secret.size() > kLongestSecret) return "the secret must not be longer than 1024 bytes";
  if (secret.find('\0') != std::string_view::npos) return "the secret must not hold a zero byte";
  if (secret.rfind("SCRAM-SHA-256$", 0) == 0 && !pgwire::parse_scram_verifier(secret)) {
    return "the secret begins like a SCRAM verifier but is not a whole one; copy it from pg_authid.rolpassword";
  }
  return "";
}

Result<std::vector<User>> parse_user_list(std::string_view text) {
  std::vector<User> users;
  std::vector<std::string> mistakes;
  std::map<std::string, size_t> lines;  // where a name stands
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line[0] == ';') continue;
    User user;
    std::string wrong = read_line(line, user);
    if (wrong.empty()) {
      const auto [first, fresh] = lines.emplace(user.name, number);
      if (!fresh) wrong = model::shown(user.name) + " stands on line " + std::to_string(first->second) + " already";
    }
    if (wrong.empty()) {
      users.push_back(std::move(user));
    } else {
      mistakes.push_back("line " + std::to_string(number) + ": " + wrong);
    }
  }
  if (mistakes.empty()) return users;
  Error error(Code::kConfig, "the list of users has " + std::to_string(mistakes.size()) +
                                 (mistakes.size() == 1 ? " mistake" : " mistakes"));
  for (std::string& mistake : mistakes) error.with("mistake", std::move(mistake));
  return error;
}

}  // namespace pgb::control
