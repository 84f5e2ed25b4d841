// Users that the balancer itself knows, and their secrets.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace pgb::control {

struct User {
  std::string name;
  Secret secret;  // a password, "SCRAM-SHA-256$…" or "md5" and 32 hex digits
  bool operator==(const User&) const = default;
};

// What is wrong with a user's name or secret, without showing the secret; empty if nothing.
std::string mistake_in_name(std::string_view name);
std::string mistake_in_secret(std::string_view secret);

// Reads the text of a file in the manner of PgBouncer's userlist.txt: a user a line, "name" "secret"
// in double quotes (two of them stand for one); the rest of the line is not read, nor are empty lines
// and those that begin with a semicolon. kConfig with one detail line for every mistake ("line 3: …").
Result<std::vector<User>> parse_user_list(std::string_view text);

}  // namespace pgb::control
