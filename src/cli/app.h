// The manager's command line: words in, exit code out.
#pragma once

#include <string>
#include <vector>

namespace pgb::cli {

// Standard output gets the answer, standard error the talk. Installs handlers for SIGINT and SIGTERM: the first
// lets the step in hand end, the second ends the process at once. Call once, from main.
int run(const std::vector<std::string>& words);

// From here on the command only looks: there is nothing to finish, so a signal is not answered with that.
void only_looks();

}  // namespace pgb::cli
