// Comments in front of a statement that say where it is to go:
//   /* pgbalancer: primary */   /* pgbalancer: replica */   -- pgbalancer: primary
// and, as pgpool-II has it, /*NO LOAD BALANCE*/ for the primary.
#pragma once

#include <string_view>

namespace pgb::sql {

enum class Hint { kNone, kPrimary, kReplica };

// Only comments before the first word count: what looks like one later may stand in a string.
Hint find_hint(std::string_view text);

}  // namespace pgb::sql
