#include "sql/catalog.h"

#include <utility>

#include "sql/functions.h"

namespace pgb::sql {

std::shared_ptr<const Catalog> Catalog::from_rows(const std::vector<std::vector<std::optional<std::string>>>& rows,
                                                  uint64_t version) {
  auto catalog = std::make_shared<Catalog>();
  catalog->version_ = version;
  for (const auto& row : rows) {
    if (row.size() >= 3 && row[0] && row[1] && row[2] && !row[0]->empty()) catalog->add((*row[0])[0], *row[1], *row[2]);
  }
  return catalog;
}

std::shared_ptr<const Catalog> Catalog::unread(std::shared_ptr<const Catalog> before,
                                               const std::set<std::string>& new_code, uint64_t version) {
  auto catalog = std::make_shared<Catalog>();
  catalog->before_ = std::move(before);
  catalog->version_ = version;
  catalog->read_ = false;
  for (const std::string& name : new_code) {
    const size_t dot = name.rfind('.');
    insert(catalog->keepers_, dot == std::string::npos ? "public" : name.substr(0, dot),
           dot == std::string::npos ? name : name.substr(dot + 1));
  }
  return catalog;
}

void Catalog::insert(Set& to, const std::string& schema, const std::string& name) {
  to.insert(name);
  to.insert(schema + "." + name);
}

void Catalog::add(char kind, const std::string& schema, const std::string& name) {
  switch (kind) {
    case 'v':
      if (schema != "pg_catalog" || kind_of_function(name) != FunctionKind::kHarmless) {
        return insert(unsafe_functions_, schema, name);
      }
      return insert(functions_, schema, name);
    case 'f': return insert(functions_, schema, name);
    case 'o': unsafe_operators_.insert(name); return;
    case 'r': return insert(unsafe_relations_, schema, name);
    case 'k': return insert(relations_, schema, name);
    case 't': return insert(unsafe_types_, schema, name);
    case 'a': row_functions_.insert(name); return;
    case 'c': return insert(keepers_, schema, name);
    case 'g': return insert(keeping_relations_, schema, name);
    case 'd': return insert(setters_, schema, name);
    case 'n': parameters_.push_back(name); return;
    case 'q': return insert(acting_relations_, schema, name);
    case 's': return insert(askers_, schema, name);
    case 'w': return insert(leaving_relations_, schema, name);
    case 'e': ddl_may_leave_ = true; return;
    case 'i': implicit_cast_ = schema + "." + name; return;
    default: return;
  }
}

bool Catalog::function_is_safe(std::string_view name) const {
  return !has(unsafe_functions_, name) && has(functions_, name);
}

bool Catalog::relation_is_safe(std::string_view name) const {
  return !has(unsafe_relations_, name) && has(relations_, name);
}

bool Catalog::relation_acts(std::string_view name) const {
  const bool is_new = !read_ && !has(known().relations_, name) && name.substr(0, 3) != "pg_" &&
                      name.substr(0, 11) != "pg_catalog." && name.substr(0, 19) != "information_schema.";
  return is_new || has(known().acting_relations_, name);
}

}  // namespace pgb::sql
