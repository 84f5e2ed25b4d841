// Errors as a person or a program reads them.
#pragma once

#include <string>

#include "base/error.h"

namespace pgb::cli {

// "error: …", then its indented details, most important last, then the id and exit code.
std::string render_error(const Error& error);

// {"event":"error","code":"PGB-…","exit":4,"message":…,"details":[["held by","…"]]}
std::string error_json(const Error& error);

// Writes it to standard error, and with `json` to standard output, too; its exit code.
int report(const Error& error, bool json);

// As one word of a shell: in quotes if it needs any.
std::string shell_word(const std::string& text);

}  // namespace pgb::cli
