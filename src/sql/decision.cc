#include "sql/decision.h"

#include <algorithm>

namespace pgb::sql {

namespace {

Decision place(const Verdict& verdict, const Catalog* catalog) {
  if (!verdict.read) return {false, false, verdict.reason};
  if (verdict.hint_replica) return {true, false, "a comment asks for a replica"};
  const bool names_nothing = verdict.functions.empty() && verdict.operators.empty() && verdict.relations.empty();
  if (names_nothing) return {true, false, verdict.reason};
  if (catalog == nullptr) return {false, false, "the catalogue of the database is not known yet"};
  for (const std::string& name : verdict.functions) {
    if (!catalog->function_is_safe(name)) return {false, false, name + "() is volatile or not known"};
  }
  for (const std::string& name : verdict.operators) {
    if (!catalog->operator_is_safe(name)) return {false, false, "the operator " + name + " is volatile"};
  }
  for (const std::string& name : verdict.relations) {
    if (!catalog->relation_is_safe(name)) return {false, false, name + " is not known, or not the same on a replica"};
  }
  return {true, false, verdict.reason};
}

bool calls_what_may_do_anything(const Verdict& verdict, const Catalog* catalog) {
  return std::any_of(verdict.functions.begin(), verdict.functions.end(),
                     [&](const std::string& name) { return catalog == nullptr || !catalog->function_is_safe(name); });
}

}  // namespace

Decision decide(const Verdict& verdict, const Catalog* catalog) {
  Decision decision = place(verdict, catalog);
  decision.may_do_anything = calls_what_may_do_anything(verdict, catalog);
  return decision;
}

}  // namespace pgb::sql
