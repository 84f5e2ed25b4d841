// What a statement means to a balancer, read off PostgreSQL's own grammar (libpg_query 15).
#pragma once

#include <cstddef>
#include <string_view>

#include "sql/verdict.h"

namespace pgb::sql {

// Longer texts are not parsed: they go to the primary, with an unknown effect.
inline constexpr size_t kMaxText = 256 * 1024;
// The stack that a thread should have that classifies. (Long texts get a thread with more while they are looked into.)
inline constexpr size_t kClassifyStack = size_t{8} << 20;

// Never fails: what does not parse is for the primary. `text` is UTF-8 or any encoding whose bytes below 0x80 are
// ASCII (of PostgreSQL's client encodings, that is all but SJIS, SHIFT_JIS_2004, BIG5, GBK, UHC, GB18030 and JOHAB),
// and standard_conforming_strings is on. Any thread may call.
Verdict classify(std::string_view text);

}  // namespace pgb::sql
