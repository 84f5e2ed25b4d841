// What is being done, while it is done: a live list on a terminal, plain lines elsewhere, JSON lines for
// programs.
#pragma once

#include <memory>
#include <string>

#include "cli/terminal.h"
#include "cluster/session.h"

namespace pgb::cli {

class Progress {
 public:
  virtual ~Progress() = default;                       // leaves the last state on the screen
  virtual void show(const cluster::Event& event) = 0;  // one call at a time
};

// `mode` is auto, tty, plain, json or quiet. JSON goes to standard output, all else to standard error.
std::unique_ptr<Progress> make_progress(const std::string& mode, const Terminal& terminal);

}  // namespace pgb::cli
