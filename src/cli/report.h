// Errors as a person or a program reads them.
#pragma once

#include <string>

#include "base/error.h"

namespace pgb::cli {

// "error: …", then its indented details, most important last, then the id and exit code.
std::string render_error(const Error& error);

// {"event":"error","code":"PGB-…","exit":4,"message":…,"details":[["held by","…"]]}
std::string error_json(const Error& error);

}  // namespace pgb::cli
