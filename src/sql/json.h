// What is asked of libpg_query's JSON trees. Internal to this folder.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace pgb::sql {

using Json = nlohmann::json;

const Json* child(const Json& object, const char* key);  // null if there is none
std::string string_of(const Json& object, const char* key);
bool flag_of(const Json& object, const char* key);

// Of {"SelectStmt": {…}}: the type and what it holds. False if `node` is no such thing.
bool unwrap(const Json& node, std::string& type, const Json*& body);

// The text of a constant, also one that is cast; false if it is none, or NULL. A boolean is "on" or "off".
bool constant(const Json& node, std::string& out);

// The parts of a name joined by dots. False if a part is no plain name, or has a dot of its own.
bool dotted(const Json& names, std::string& out);

}  // namespace pgb::sql
