#include "sql/decision.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace pgb::sql {
namespace {

// The first reason that the catalogue has against it; empty: none.
std::string objection(const Verdict& verdict, const Catalog& catalog) {
  if (!catalog.volatile_implicit_cast().empty()) {
    return "the implicit cast to " + catalog.volatile_implicit_cast() + " is volatile";
  }
  if (!catalog.operator_is_safe("-")) return "the operator - is volatile";  // no verdict names it, see Walk
  for (const std::string& name : verdict.functions) {
    if (!catalog.function_is_safe(name)) return name + "() is volatile or not known";
  }
  for (const std::string& name : verdict.operators) {
    if (!catalog.operator_is_safe(name)) return "the operator " + name + " is volatile";
  }
  for (const std::string& name : verdict.relations) {
    if (!catalog.relation_is_safe(name)) return name + " is not known, or not the same on a replica";
  }
  for (const std::string& name : verdict.types) {
    if (!catalog.type_is_safe(name)) return "the cast to " + name + " is volatile";
  }
  for (const std::string& name : verdict.attributes) {
    if (!catalog.attribute_is_safe(name)) return name + " may be a volatile function of a row";
  }
  return {};
}

Decision place(const Verdict& verdict, const Catalog* catalog) {
  if (!verdict.read) return {false, false, verdict.reason};
  if (verdict.hint_replica) return {true, false, "a comment asks for a replica"};
  const bool names_nothing = verdict.functions.empty() && verdict.operators.empty() && verdict.relations.empty() &&
                             verdict.types.empty() && verdict.attributes.empty();
  if (names_nothing) return {true, false, verdict.reason};
  if (catalog == nullptr || !catalog->is_read())
    return {false, false, "the catalogue of the database is not known yet"};
  std::string against = objection(verdict, *catalog);
  if (!against.empty()) return {false, false, std::move(against)};
  return {true, false, verdict.reason};
}

// PostgreSQL's own volatile functions that INSERTs and defaults are full of: they leave no state in the session but
// what Effect::kSequenceState is about.
bool leaves_nothing(std::string_view name) {
  constexpr std::array<std::string_view, 7> kHarmless = {"clock_timestamp", "gen_random_uuid", "nextval",  "pg_notify",
                                                         "random",          "setval",          "timeofday"};
  constexpr std::string_view kSystem = "pg_catalog.";
  if (name.substr(0, kSystem.size()) == kSystem) name.remove_prefix(kSystem.size());
  return std::find(kHarmless.begin(), kHarmless.end(), name) != kHarmless.end();
}

bool calls_what_may_do_anything(const Verdict& verdict, const Catalog* catalog) {
  return std::any_of(verdict.functions.begin(), verdict.functions.end(), [&](const std::string& name) {
    return !leaves_nothing(name) && (catalog == nullptr || !catalog->function_is_safe(name));
  });
}

}  // namespace

Decision decide(const Verdict& verdict, const Catalog* catalog) {
  Decision decision = place(verdict, catalog);
  decision.may_do_anything = calls_what_may_do_anything(verdict, catalog);
  if (catalog == nullptr) return decision;
  for (const std::string& name : verdict.functions) {
    decision.keeps_state = decision.keeps_state || catalog->function_keeps_state(name);
    decision.sets_any = decision.sets_any || catalog->function_sets_any(name);
  }
  for (const std::string& name : verdict.written) {
    decision.keeps_state = decision.keeps_state || catalog->write_keeps_state(name);
  }
  return decision;
}

}  // namespace pgb::sql
