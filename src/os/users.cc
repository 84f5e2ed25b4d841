#include "os/users.h"

#include <functional>
#include <limits>
#include <optional>

#include "base/strings.h"
#include "os/file.h"

namespace pgb::os {
namespace {

std::optional<User> parse_line(std::string_view line) {
  std::vector<std::string> fields = split(line, ':');
  if (fields.size() < 7) return std::nullopt;
  auto uid = parse_u64(fields[2]);
  auto gid = parse_u64(fields[3]);
  constexpr uint64_t kMax = std::numeric_limits<uid_t>::max();
  if (!uid || !gid || *uid >= kMax || *gid >= kMax) return std::nullopt;
  User user;
  user.name = fields[0];
  user.uid = static_cast<uid_t>(*uid);
  user.gid = static_cast<gid_t>(*gid);
  user.home = fields[5];
  return user;
}

Result<User> find_where(const std::string& passwd, const std::string& what,
                        const std::function<bool(const User&)>& wanted) {
  auto text = read_file(passwd);
  if (!text.ok()) return std::move(text).error();
  for (const std::string& line : split(*text, '\n')) {
    auto user = parse_line(line);
    if (user && wanted(*user)) return std::move(*user);
  }
  return Error(Code::kNotFound, "there is no " + what + " in " + passwd);
}

}  // namespace

Result<User> find_user(const std::string& name, const std::string& passwd) {
  return find_where(passwd, "user '" + name + "'", [&](const User& user) { return user.name == name; });
}

Result<User> find_uid(uid_t uid, const std::string& passwd) {
  return find_where(passwd, "user id " + std::to_string(uid), [&](const User& user) { return user.uid == uid; });
}

}  // namespace pgb::os
