// What a statement means to a balancer, read off PostgreSQL's own grammar (libpg_query 15).
#pragma once

#include <cstddef>
#include <string_view>

#include "sql/verdict.h"

namespace pgb::sql {

// Longer texts are not parsed: they go to the primary, with an unknown effect. (The parser's output is read
// recursively; a thread that classifies needs kClassifyStack bytes of stack for the most deeply nested text.)
inline constexpr size_t kMaxText = 64 * 1024;
inline constexpr size_t kClassifyStack = size_t{64} << 20;

// Never fails: what does not parse is for the primary. `text` is UTF-8 or any encoding with ASCII in its place, and
// standard_conforming_strings is on. Any thread may call.
Verdict classify(std::string_view text);

}  // namespace pgb::sql
