#include "sql/catalog.h"

#include "sql/functions.h"

namespace pgb::sql {

const char* Catalog::query() {
  // Relations: foreign and unlogged tables, and views that lead to one of them or to a volatile function. What a view
  // calls of PostgreSQL's own functions is not recorded as a dependency; its definition tells.
  return R"(
WITH RECURSIVE unsafe(oid) AS (
    SELECT oid FROM pg_catalog.pg_class WHERE relkind = 'f' OR relpersistence <> 'p'
  UNION
    SELECT r.ev_class FROM pg_catalog.pg_rewrite r
      JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
      JOIN pg_catalog.pg_proc p ON d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.refobjid
     WHERE p.provolatile = 'v'
  UNION
    SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
       AND pg_catalog.pg_get_viewdef(c.oid) ~
           '\m(nextval|setval|currval|lastval|set_config|pg_notify|txid_current|pg_current_xact_id|pg_[a-z_]*advisory[a-z_]*|lo_[a-z]+|pg_is_in_recovery|pg_backend_pid|pg_(last|current)_wal[a-z_]*|query_to_xml|pg_stat_[a-z_]+)\('
  UNION
    SELECT r.ev_class FROM unsafe u
      JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = u.oid
      JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid
)
SELECT 'f', n.nspname, p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.prokind <> 'p' GROUP BY 2, 3 HAVING NOT pg_catalog.bool_or(p.provolatile = 'v')
UNION ALL
SELECT 'v', n.nspname, p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.prokind <> 'p' GROUP BY 2, 3 HAVING pg_catalog.bool_or(p.provolatile = 'v')
UNION ALL
SELECT DISTINCT 'o', '', o.oprname::text FROM pg_catalog.pg_operator o
  JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode WHERE p.provolatile = 'v'
UNION ALL
SELECT DISTINCT 'r', n.nspname, c.relname FROM unsafe u JOIN pg_catalog.pg_class c ON c.oid = u.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT 'k', n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_(toast|temp)')";
}

std::shared_ptr<const Catalog> Catalog::from_rows(const std::vector<std::vector<std::optional<std::string>>>& rows,
                                                  uint64_t version) {
  auto catalog = std::make_shared<Catalog>();
  catalog->version_ = version;
  for (const auto& row : rows) {
    if (row.size() < 3 || !row[0] || !row[1] || !row[2]) continue;
    const std::string& name = *row[2];
    const std::string full = *row[1] + "." + name;
    const auto add = [&](std::unordered_set<std::string>& to) {
      to.insert(name);
      to.insert(full);
    };
    switch ((*row[0])[0]) {
      case 'v':
        if (*row[1] == "pg_catalog" && kind_of_function(name) == FunctionKind::kHarmless) {
          add(catalog->functions_);
        } else {
          add(catalog->unsafe_functions_);
        }
        break;
      case 'f': add(catalog->functions_); break;
      case 'o': catalog->unsafe_operators_.insert(name); break;
      case 'r': add(catalog->unsafe_relations_); break;
      case 'k': add(catalog->relations_); break;
      default: break;
    }
  }
  return catalog;
}

bool Catalog::function_is_safe(std::string_view name) const {
  const std::string key(name);
  return unsafe_functions_.count(key) == 0 && functions_.count(key) != 0;
}

bool Catalog::relation_is_safe(std::string_view name) const {
  const std::string key(name);
  return unsafe_relations_.count(key) == 0 && relations_.count(key) != 0;
}

}  // namespace pgb::sql
