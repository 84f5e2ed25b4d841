// The status document as text.
#pragma once

#include <string>

#include "cli/terminal.h"
#include "cluster/status.h"

namespace pgb::cli {

// At most terminal.width columns (80 at least), except for addresses of a wide view. The server that is `chosen` is
// pointed at.
std::string render_status(const cluster::StatusDocument& document, const Terminal& terminal, bool wide,
                          const std::string& chosen = {});

// 0 healthy, 10 degraded, 11 no primary, 12 not created.
int status_exit_code(const cluster::StatusDocument& document);

std::string size_text(int64_t bytes);  // "0 B", "88 B", "2 kB", "14 MB"

}  // namespace pgb::cli
