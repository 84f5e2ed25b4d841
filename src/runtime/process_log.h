// The log file of a local unit, from its end or from where one has read to. A cursor is "<inode>:<offset>".
#pragma once

#include <string>

#include "runtime/runtime.h"

namespace pgb::runtime {

// The last lines of the file; no text if it is absent.
Result<LogText> last_lines(const std::string& path, int lines);

// What was written since the cursor. `old` is what the file becomes when it is begun anew: its end is read first. A
// cursor of neither means all of the file.
Result<LogText> lines_after(const std::string& path, const std::string& old, const std::string& cursor);

}  // namespace pgb::runtime
