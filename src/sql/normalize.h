// Texts that differ in their literals only share one verdict: the key under which it is kept.
#pragma once

#include <string>
#include <string_view>

namespace pgb::sql {

// Replaces `key` by the text with plain numbers and '…' strings as "?". False when anything is in the text of which
// that is not surely harmless (E'', U&'', B'', X'', $tag$, backslashes, a statement other than SELECT, INSERT, UPDATE,
// DELETE, WITH, VALUES): then `key` is the text itself. Two texts with one key have one verdict, unless it says
// needs_text. Allocates nothing when `key` has room.
bool normalize(std::string_view text, std::string& key);

}  // namespace pgb::sql
