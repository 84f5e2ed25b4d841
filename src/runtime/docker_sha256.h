// The SHA-256 digest, for names that follow from contents.
#pragma once

#include <string>
#include <string_view>

namespace pgb::runtime {

std::string sha256_hex(std::string_view bytes);  // 64 lower-case digits

}  // namespace pgb::runtime
