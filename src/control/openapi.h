// The REST interface described as OpenAPI 3.1, made of the table of routes and that of schemas. Only for .cc files.
#pragma once

#include <nlohmann/json.hpp>

namespace pgb::control {

nlohmann::json openapi_document();

}  // namespace pgb::control
