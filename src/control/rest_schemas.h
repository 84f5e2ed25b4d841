// What the answers of the REST interface hold, as a table: openapi.h makes JSON Schema of it.
#pragma once

#include <string>
#include <vector>

namespace pgb::control {

struct RestField {
  const char* name;  // with a ? behind it if it may be absent
  const char* type;  // "string", "?string" (or null), "[string]" (a list), "Node" (another schema), "any"
  const char* about = "";
};

struct RestSchema {
  const char* name;
  const char* about;
  std::vector<RestField> fields;  // and no others
};

const std::vector<RestSchema>& rest_schemas();

}  // namespace pgb::control
