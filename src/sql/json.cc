#include "sql/json.h"

#include <nlohmann/json.hpp>

namespace pgb::sql {

const Json* child(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::string string_of(const Json& object, const char* key) {
  const Json* found = child(object, key);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

bool flag_of(const Json& object, const char* key) {
  const Json* found = child(object, key);
  return found != nullptr && found->is_boolean() && found->get<bool>();
}

bool unwrap(const Json& node, std::string& type, const Json*& body) {
  if (!node.is_object() || node.empty()) return false;
  type = node.begin().key();
  body = &node.begin().value();
  return true;
}

bool constant(const Json& node, std::string& out) {
  if (const Json* cast = child(node, "TypeCast")) {
    const Json* argument = child(*cast, "arg");
    return argument != nullptr && constant(*argument, out);
  }
  const Json* value = child(node, "A_Const");
  if (value == nullptr) return false;
  if (const Json* text = child(*value, "sval")) return out = string_of(*text, "sval"), true;
  if (const Json* number = child(*value, "fval")) return out = string_of(*number, "fval"), true;
  if (const Json* boolean = child(*value, "boolval")) return out = flag_of(*boolean, "boolval") ? "on" : "off", true;
  const Json* number = child(*value, "ival");
  if (number == nullptr) return false;
  const Json* digits = child(*number, "ival");  // left out when it is 0
  out = digits == nullptr ? "0" : digits->dump();
  return true;
}

bool dotted(const Json& names, std::string& out) {
  out.clear();
  if (!names.is_array() || names.empty()) return false;
  for (const Json& part : names) {
    const Json* string = child(part, "String");
    if (string == nullptr) return false;
    const std::string text = string_of(*string, "sval");
    if (text.empty() || (text.find('.') != std::string::npos)) return false;
    if (!out.empty()) out += '.';
    out += text;
  }
  return true;
}

}  // namespace pgb::sql
