// Comments in front of a statement that say where it is to go:
//   /* pgbalancer: primary */   /* pgbalancer: replica */   -- pgbalancer: primary
// and, as pgpool-II has it, /*NO LOAD BALANCE*/ for the primary.
#pragma once

#include <cstddef>
#include <string_view>

namespace pgb::sql {

enum class Hint { kNone, kPrimary, kReplica };

// Only comments before the first word count: what looks like one later may stand in a string.
Hint find_hint(std::string_view text);

// The end of the comment that begins at `at`, as PostgreSQL has it: a line's without its line feed, nested blocks
// included; npos: a block has no end.
size_t end_of_comment(std::string_view text, size_t at);

}  // namespace pgb::sql
