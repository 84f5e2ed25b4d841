// Inside the docker_*.cc files only: reading the Engine's JSON without exceptions. What is absent or of
// another type reads as empty.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace pgb::runtime {

using Json = nlohmann::json;

inline Json parse_json(std::string_view text) {
  Json value = Json::parse(text, nullptr, false);
  return value.is_discarded() ? Json() : value;
}

// Text from outside may be no UTF-8.
inline std::string print_json(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

inline const Json& part_of(const Json& object, const char* key) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  auto it = object.find(key);
  return it == object.end() ? kNothing : *it;
}

// For what part_of() has of a temporary.
inline Json part_of(Json&& object, const char* key) { return part_of(static_cast<const Json&>(object), key); }

inline std::string text_of(const Json& object, const char* key) {
  const Json& value = part_of(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

inline int64_t number_of(const Json& object, const char* key) {
  const Json& value = part_of(object, key);
  return value.is_number() ? value.get<int64_t>() : 0;
}

inline std::map<std::string, std::string> labels_of(const Json& object, const char* key = "Labels") {
  std::map<std::string, std::string> labels;
  const Json& value = part_of(object, key);
  if (!value.is_object()) return labels;
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (it->is_string()) labels[it.key()] = it->get<std::string>();
  }
  return labels;
}

}  // namespace pgb::runtime
