// What a database's catalogue says about names: which functions are volatile, which relations a replica cannot answer
// for. A value, shared between threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
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

  // Stands in for one that is not known, or not any more: nothing is safe. What is known of state that functions leave
  // behind is what `before` (may be null) knew, and the functions in C that were made since.
  static std::shared_ptr<const Catalog> unread(const Catalog* before, const std::set<std::string>& new_code,
                                               uint64_t version);

  bool is_read() const { return read_; }
  // `name` as a verdict has it, with or without schema. A function or relation that is not known is not safe; without
  // a schema, a name is as safe as the least safe one of that name in any schema.
  bool function_is_safe(std::string_view name) const;
  // It may leave something behind in its server's process that nobody can ask for or take over.
  bool function_keeps_state(std::string_view name) const { return keepers_.count(std::string(name)) != 0; }
  // Likewise a trigger that fires when the relation, or what refers to it, is written.
  bool write_keeps_state(std::string_view name) const { return keeping_relations_.count(std::string(name)) != 0; }
  // It sets a parameter whose name is made up while it runs.
  bool function_sets_any(std::string_view name) const { return setters_.count(std::string(name)) != 0; }
  // Parameters of extensions (with a dot) that functions set: no server lists them.
  const std::vector<std::string>& custom_parameters() const { return parameters_; }
  // A trigger or a default may set parameters: no text of a statement that writes says so.
  bool writes_may_set() const { return writes_may_set_; }
  bool operator_is_safe(std::string_view name) const { return unsafe_operators_.count(std::string(name)) == 0; }
  bool relation_is_safe(std::string_view name) const;
  bool type_is_safe(std::string_view name) const { return unsafe_types_.count(std::string(name)) == 0; }
  // x.name calls name(x) if there is such a function of rows.
  bool attribute_is_safe(std::string_view name) const { return row_functions_.count(std::string(name)) == 0; }
  // A cast that no text shows is volatile: then nothing is safe. Its target's name; empty: there is none.
  const std::string& volatile_implicit_cast() const { return implicit_cast_; }
  uint64_t version() const { return version_; }

 private:
  using Set = std::unordered_set<std::string>;  // of names: "name" and "schema.name"

  void add(char kind, const std::string& schema, const std::string& name);
  static void insert(Set& to, const std::string& schema, const std::string& name);

  uint64_t version_ = 0;
  bool read_ = true;
  Set functions_;         // all
  Set unsafe_functions_;  // volatile ones
  Set keepers_;
  Set keeping_relations_;
  Set setters_;
  std::vector<std::string> parameters_;
  bool writes_may_set_ = false;
  Set unsafe_operators_;  // without schema
  Set relations_;         // all
  Set unsafe_relations_;
  Set unsafe_types_;
  Set row_functions_;  // without schema
  std::string implicit_cast_;
};

using CatalogPtr = std::shared_ptr<const Catalog>;

}  // namespace pgb::sql
