// What the Engine's refusals mean to us.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace pgb::runtime {

// "<doing>: <the Engine's sentence>" with the code and advice that fit it: kDiskFull, kPortInUse, kSubnetInUse,
// kNameInUse, kImage, kNotFound, else kEngine. `status` is the HTTP status, 0 if the sentence came in a stream.
Error engine_error(const std::string& doing, int status, std::string_view sentence);

}  // namespace pgb::runtime
