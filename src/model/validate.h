// Holds a JSON document against the key table.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/json_document.h"
#include "model/key_table.h"

namespace pgb::model {

// Notes every value of the wrong kind and every unknown or absent key below `object`, and clears
// `usable` on the values that must not be read.
void validate(JsonValue& object, const KeyTable& table, const std::string& path, Mistakes& mistakes);

// "a" + "b" is "a.b", "" + "b" is "b".
std::string join_path(const std::string& path, std::string_view key);

// The number's value; nothing if it is not whole or does not fit.
std::optional<long long> whole_number(const JsonValue& value);

// A server setting's value as its text; nothing if it is none.
std::optional<std::string> parameter_text(const JsonValue& value);

}  // namespace pgb::model
