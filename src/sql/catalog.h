// What a database's catalogue says about names: which functions are volatile, which relations a replica cannot answer
// for. A value, shared between threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace pgb::sql {

class Catalog {
 public:
  // Gives the rows for from_rows(); PostgreSQL 13 and later, any role.
  static const char* query();
  // kind, schema, name of each row; `version` tells catalogues of one database apart.
  static std::shared_ptr<const Catalog> from_rows(const std::vector<std::vector<std::optional<std::string>>>& rows,
                                                  uint64_t version);

  // `name` as a verdict has it, with or without schema. A name that is not known is not safe; without a schema, a
  // name is as safe as the least safe function of that name in any schema.
  bool function_is_safe(std::string_view name) const;
  bool operator_is_safe(std::string_view name) const { return unsafe_operators_.count(std::string(name)) == 0; }
  bool relation_is_safe(std::string_view name) const;
  uint64_t version() const { return version_; }

 private:
  uint64_t version_ = 0;
  std::unordered_set<std::string> functions_;         // all, "name" and "schema.name"
  std::unordered_set<std::string> unsafe_functions_;  // volatile ones, likewise
  std::unordered_set<std::string> unsafe_operators_;
  std::unordered_set<std::string> relations_;         // all
  std::unordered_set<std::string> unsafe_relations_;  // "name" and "schema.name"
};

using CatalogPtr = std::shared_ptr<const Catalog>;

}  // namespace pgb::sql
