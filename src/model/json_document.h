// A JSON text as a tree that knows where everything stood, and all that is wrong with the text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/mistakes.h"

namespace pgb::model {

struct JsonValue {
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  Place place;
  bool boolean = false;
  std::string text;              // the string unescaped, or the number as written
  std::vector<JsonValue> items;  // of an array or an object
  std::string key;               // in an object: its name, and where that stood
  Place key_place;
  bool usable = true;  // the validator clears it: the value is not of its key's kind

  bool is(Kind other) const { return kind == other; }
  // The member of that name (the first one); null if there is none.
  const JsonValue* find(std::string_view name) const;
};

// "a string", "an object" …
std::string_view kind_name(JsonValue::Kind kind);

// Parses `text`. Mistakes that allow to read on (comments, commas, keys given twice) are noted and
// passed over. False: the text cannot be understood and `root` is not to be looked at. Limits:
// 16 MiB, 64 levels, 200000 values.
bool parse_json(std::string_view text, JsonValue& root, Mistakes& mistakes);

// Where the value of "balancers[0].primary.port" begins in the text; nothing if the text does not give it.
std::optional<Place> place_of(std::string_view text, std::string_view path);

}  // namespace pgb::model
