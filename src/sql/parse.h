// PostgreSQL's own grammar (libpg_query 15): a text's tree. Internal to this folder.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace pgb::sql {

enum class ParseEnd { kOk, kSyntax, kTooDeep, kNoMemory };

// Parses `text` and gives the tree to `then`, on the calling thread if kClassifyStack is surely enough for it and else
// on one made for it: the grammar and the tree are read recursively. `then` is called only with kOk. The tree is no
// deeper than kMaxDepth. Bytes that are no UTF-8 are read as Latin-1. Any thread may call.
inline constexpr int kMaxDepth = 3000;
ParseEnd parse(std::string_view text, const std::function<void(const nlohmann::json&)>& then);

}  // namespace pgb::sql
