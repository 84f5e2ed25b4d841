// The cluster file's JSON Schema and its reference page, printed from the key table that validates.
#pragma once

#include <string>

namespace pgb::model {

std::string json_schema();     // draft 2020-12
std::string reference_page();  // Markdown

}  // namespace pgb::model
