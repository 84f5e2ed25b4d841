// Base64 as etcd's JSON has it: standard alphabet, padded.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pgb::dcs {

std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);  // nothing for anything else

}  // namespace pgb::dcs
