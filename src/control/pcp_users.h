// Who may use PCP.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace pgb::control {

using PcpUsers = std::map<std::string, Secret>;  // name to the md5 of the password, in hex

// Reads the text of a pcp.conf: name:md5 a line; empty lines and those that begin with # are passed over. kConfig with
// a detail for every mistake.
Result<PcpUsers> parse_pcp_users(std::string_view text);

}  // namespace pgb::control
