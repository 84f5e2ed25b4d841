#include "control/pcp_users.h"

#include <algorithm>

#include "base/strings.h"
#include "control/user_list.h"
#include "model/mistakes.h"

namespace pgb::control {

Result<PcpUsers> parse_pcp_users(std::string_view text) {
  PcpUsers users;
  Error error(Code::kConfig, "the list of PCP users has mistakes");
  size_t number = 0;
  for (const std::string& whole : split(text, '\n')) {
    ++number;
    const std::string_view line = trim(whole);
    if (line.empty() || line[0] == '#') continue;
    const auto wrong = [&](const std::string& what) {
      error.with("mistake", "line " + std::to_string(number) + ": " + what);
    };
    const size_t colon = line.find(':');
    const std::string name(line.substr(0, colon));
    const std::string_view hash = colon == std::string_view::npos ? "" : line.substr(colon + 1);
    const bool is_hash = hash.size() == 32 && std::all_of(hash.begin(), hash.end(), [](unsigned char c) {
                           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                         });
    if (const std::string mistake = mistake_in_name(name); !mistake.empty()) {
      wrong(mistake);
    } else if (!is_hash) {
      wrong(
          "the md5 of the password must stand behind name and colon: 32 hex digits in lower case, as pg_md5 prints "
          "them");
    } else if (!users.emplace(name, Secret(std::string(hash))).second) {
      wrong(model::shown(name) + " stands there already");
    }
  }
  if (!error.details.empty()) return error;
  return users;
}

}  // namespace pgb::control
