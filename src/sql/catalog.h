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

  // Stands in for one that is not known, or not any more: nothing is safe. What is known of what is left behind is what
  // `before` (one that was read, or null) knew, and the functions in C that were made since.
  static std::shared_ptr<const Catalog> unread(std::shared_ptr<const Catalog> before,
                                               const std::set<std::string>& new_code, uint64_t version);

  bool is_read() const { return read_; }
  // Neither it nor one before it was read.
  bool knows_nothing() const { return !read_ && before_ == nullptr; }

  // May a replica answer for it? `name` as a verdict has it, with or without schema. A function or relation that is not
  // known is not safe; without a schema, a name is as safe as the least safe one of that name in any schema.
  bool function_is_safe(std::string_view name) const;
  bool operator_is_safe(std::string_view name) const { return !has(unsafe_operators_, name); }
  bool relation_is_safe(std::string_view name) const;
  bool type_is_safe(std::string_view name) const { return !has(unsafe_types_, name); }
  // x.name calls name(x) if there is such a function of rows.
  bool attribute_is_safe(std::string_view name) const { return !has(row_functions_, name); }
  // A cast that no text shows is volatile: then nothing is safe. Its target's name; empty: there is none.
  const std::string& volatile_implicit_cast() const { return known().implicit_cast_; }

  // May it write, or leave something behind in the session? As far as is known before the catalogue is read again.
  bool relation_acts(std::string_view name) const;  // when it is read
  bool operator_acts(std::string_view name) const { return has(known().unsafe_operators_, name); }
  bool type_acts(std::string_view name) const { return has(known().unsafe_types_, name); }
  bool attribute_acts(std::string_view name) const { return has(known().row_functions_, name); }
  // A trigger, a default or the like may do so where the relation, or what refers to it, is written.
  bool write_may_leave(std::string_view name) const { return !read_ || has(leaving_relations_, name); }
  bool ddl_may_leave() const { return !read_ || ddl_may_leave_; }  // an event trigger may

  // It may leave something behind in its server's process that nobody can ask for or take over.
  bool function_keeps_state(std::string_view name) const { return has(keepers_, name) || has(known().keepers_, name); }
  // Likewise a trigger that fires when the relation, or what refers to it, is written; or what a view calls.
  bool relation_keeps_state(std::string_view name) const { return has(known().keeping_relations_, name); }
  // It sets a parameter whose name is made up while it runs.
  bool function_sets_any(std::string_view name) const { return has(known().setters_, name); }
  // Parameters of extensions (with a dot) that functions set: no server lists them.
  const std::vector<std::string>& custom_parameters() const { return known().parameters_; }
  // The function, or what runs where the relation is written or read, asks for the last number of a sequence.
  bool asks_for_number(std::string_view name) const { return has(known().askers_, name); }
  bool anything_asks_for_numbers() const { return !known().askers_.empty(); }
  uint64_t version() const { return version_; }

 private:
  using Set = std::unordered_set<std::string>;  // of names: "name" and "schema.name"

  static bool has(const Set& names, std::string_view name) { return names.count(std::string(name)) != 0; }
  const Catalog& known() const { return before_ ? *before_ : *this; }
  void add(char kind, const std::string& schema, const std::string& name);
  static void insert(Set& to, const std::string& schema, const std::string& name);

  uint64_t version_ = 0;
  bool read_ = true;
  std::shared_ptr<const Catalog> before_;  // while it is not read
  Set functions_;                          // all
  Set unsafe_functions_;                   // volatile ones
  Set keepers_;
  Set keeping_relations_;
  Set setters_;
  Set askers_;
  std::vector<std::string> parameters_;
  Set leaving_relations_;
  bool ddl_may_leave_ = false;
  Set unsafe_operators_;  // without schema
  Set relations_;         // all
  Set unsafe_relations_;
  Set acting_relations_;
  Set unsafe_types_;
  Set row_functions_;  // without schema
  std::string implicit_cast_;
};

using CatalogPtr = std::shared_ptr<const Catalog>;

}  // namespace pgb::sql
