#include "control/openapi.h"

#include <algorithm>

#include "base/strings.h"
#include "control/rest_route.h"
#include "control/rest_schemas.h"

namespace pgb::control {
namespace {

using Json = nlohmann::json;

Json reference(const std::string& schema) { return {{"$ref", "#/components/schemas/" + schema}}; }

// "string", "?string" (or null), "[Node]" (a list), "Node", "any".
Json type_schema(std::string_view type) {
  if (type == "any") return Json::object();
  if (type.front() == '?') {
    return {{"anyOf", Json::array({type_schema(type.substr(1)), {{"type", "null"}}})}};
  }
  if (type.front() == '[') return {{"type", "array"}, {"items", type_schema(type.substr(1, type.size() - 2))}};
  if (type.front() >= 'A' && type.front() <= 'Z') return reference(std::string(type));
  return {{"type", type}};
}

Json object_schema(const RestSchema& schema) {
  Json properties = Json::object(), required = Json::array();
  for (const RestField& field : schema.fields) {
    std::string name = field.name;
    const bool optional = name.back() == '?';
    if (optional) name.pop_back();
    properties[name] = type_schema(field.type);
    if (*field.about != '\0') properties[name]["description"] = field.about;
    if (!optional) required.push_back(name);
  }
  return {{"type", "object"},
          {"description", schema.about},
          {"properties", properties},
          {"required", required},
          {"additionalProperties", false}};
}

Json parameters_of(const RestRoute& route) {
  Json list = Json::array();
  for (const std::string& part : split(route.path, '/')) {
    if (part.empty() || part.front() != '{') continue;
    list.push_back({{"name", part.substr(1, part.size() - 2)},
                    {"in", "path"},
                    {"required", true},
                    {"schema", {{"type", "string"}}}});
  }
  for (const RestParameter& parameter : route.query) {
    list.push_back({{"name", parameter.name},
                    {"in", "query"},
                    {"description", parameter.about},
                    {"schema", {{"type", parameter.type}}}});
  }
  return list;
}

Json answer_of(const RestRoute& route) {
  const std::string answers = route.answers;
  const bool is_media = answers.find('/') != std::string::npos;
  const Json schema = is_media ? Json::object() : reference(answers);
  return {{"description", route.summary},
          {"content", {{is_media ? answers : "application/json", {{"schema", schema}}}}}};
}

Json operation(const RestRoute& route) {
  Json responses = {{"200", answer_of(route)}, {"default", {{"$ref", "#/components/responses/Problem"}}}};
  if (route.otherwise != 0) responses[std::to_string(route.otherwise)] = answer_of(route);
  Json out = {{"summary", route.summary}, {"parameters", parameters_of(route)}, {"responses", responses}};
  if (route.needs == Role::kNobody) out["security"] = Json::array();
  if (route.body != nullptr) {
    out["requestBody"] = {{"required", true}, {"content", {{"application/json", {{"schema", reference(route.body)}}}}}};
  }
  return out;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

Json openapi_document() {
  Json paths = Json::object(), schemas = Json::object();
  for (const RestRoute& route : rest_routes()) paths[route.path][lower(route.method)] = operation(route);
  for (const RestSchema& schema : rest_schemas()) schemas[schema.name] = object_schema(schema);
  const Json problem = {{"description", "why not (RFC 9457)"},
                        {"content", {{"application/problem+json", {{"schema", reference("Problem")}}}}}};
  const Json bearer = {{"type", "http"},
                       {"scheme", "bearer"},
                       {"description", "the token or stats_token of the configuration, or one that a login gave"}};
  return {{"openapi", "3.1.0"},
          {"info", {{"title", "pgbalancer"}, {"version", PGB_VERSION}, {"license", {{"name", "see LICENSE"}}}}},
          {"security", Json::array({{{"bearer", Json::array()}}})},
          {"paths", paths},
          {"components",
           {{"schemas", schemas}, {"responses", {{"Problem", problem}}}, {"securitySchemes", {{"bearer", bearer}}}}}};
}

}  // namespace pgb::control
