// The cluster file's JSON Schema and its reference page, printed from the key table that validates.
#pragma once

#include <string>

namespace pgb::model {

std::string json_schema();     // draft 2020-12
std::string reference_page();  // Markdown

// The chapter on the pooler's keys alone, as the balancer's own file has them. Markdown.
std::string pool_chapter();

}  // namespace pgb::model
