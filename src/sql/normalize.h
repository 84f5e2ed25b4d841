// Texts that differ in their literals only share one verdict: the key under which it is kept.
#pragma once

#include <string>
#include <string_view>

namespace pgb::sql {

// Replaces `key` by the text with plain numbers and '…' strings as "?" (a "?" of the text's own is "\?"); comments
// and white space stay. False when anything is in the text of which that is not surely harmless (E'', U&'', B'', X'',
// $tag$, backslashes, a statement other than SELECT, INSERT, UPDATE, DELETE, WITH, VALUES): then `key` is the text
// itself. Two texts with one key that both parse have one verdict, unless it says needs_text. Strings stay as they are
// where current_setting is in the text, which is about its argument. Allocates nothing when `key` has room.
bool normalize(std::string_view text, std::string& key);

// Likewise, with keys that more texts share: comments are cut to "/**/" and "--" unless they are hints, and in texts of
// kLongText or more bytes "?, ?, ?" is one "?" and rows that look alike, "(?), (?), (?)", are one row. If `reduced` is
// given, it becomes the text without these further literals and rows: it has the same verdict, and is quick to parse.
inline constexpr size_t kLongText = 1024;
bool normalize_for_cache(std::string_view text, std::string& key, std::string* reduced = nullptr);

}  // namespace pgb::sql
