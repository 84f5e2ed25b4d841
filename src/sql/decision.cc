#include "sql/decision.h"

namespace pgb::sql {

Decision decide(const Verdict& verdict, const Catalog* catalog) {
  if (!verdict.read) return {false, verdict.reason};
  if (verdict.hint_replica) return {true, "a comment asks for a replica"};
  const bool names_nothing = verdict.functions.empty() && verdict.operators.empty() && verdict.relations.empty();
  if (names_nothing) return {true, verdict.reason};
  if (catalog == nullptr) return {false, "the catalogue of the database is not known yet"};
  for (const std::string& name : verdict.functions) {
    if (!catalog->function_is_safe(name)) return {false, name + "() is volatile or not known"};
  }
  for (const std::string& name : verdict.operators) {
    if (!catalog->operator_is_safe(name)) return {false, "the operator " + name + " is volatile"};
  }
  for (const std::string& name : verdict.relations) {
    if (!catalog->relation_is_safe(name)) return {false, name + " is not known, or not the same on a replica"};
  }
  return {true, verdict.reason};
}

}  // namespace pgb::sql
