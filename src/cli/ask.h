// Questions to whoever sits at the terminal.
#pragma once

#include <string>

#include "cli/context.h"

namespace pgb::cli {

// Somebody can be asked, and wants to be: a terminal, and neither --yes nor --no-input.
bool can_ask(const Context& context);

// One line. kInterrupted, kTerminated, kTimeout, each with "changed: nothing".
Result<std::string> read_answer(const cluster::Session& session);

// "Go on? [y/N]". kNeedsYes: no.
Status ask_to_go_on(const cluster::Session& session);

// For what destroys or disturbs: --yes, or a yes at the terminal; `refused` where nobody can be asked.
Status want_yes(const Context& context, const cluster::Session& session, const Error& refused);

}  // namespace pgb::cli
